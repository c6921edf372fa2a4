-- From raw records to the events that count. In: the table `records`; variables `pane_us`, `delay_us`,
-- `future_us` (all microseconds). Out: `judged`, every record with what it is taken for, and `counted`.

CREATE TABLE parsed AS
SELECT partition, "offset", timestamp_ms * 1000 AS kafka_us,
       -- A record without an id is told from others by its place, which cannot come twice.
       coalesce(id, 'at ' || partition || '-' || "offset") AS id,
       CASE WHEN json_valid(value) THEN CAST(value AS JSON) END AS v
FROM records;

CREATE TABLE events AS
SELECT partition, "offset", kafka_us, id,
       json_type(v) = 'OBJECT' AND json_type(v, '$.data') IS NULL AS is_notice,
       coalesce(json_type(v, '$.data.id') = 'VARCHAR' AND json_type(v, '$.data.author_id') = 'VARCHAR', false)
           AS is_whole,
       epoch_us(TRY_CAST(v->>'$.data.created_at' AS TIMESTAMPTZ)) AS time_us,
       v->>'$.data.author_id' AS actor,
       v->>'$.data.text' AS text,
       v->>'$.data.lang' AS lang,
       json_extract_string(v, '$.data.referenced_tweets[*].type') AS refers,
       v->>'$.includes.places[0].full_name' AS place,
       v->>'$.includes.places[0].place_type' AS place_type,
       list_distinct(json_extract_string(v, '$.data.entities.hashtags[*].tag')) AS tags
FROM parsed;

-- What may be counted, and moves its partition's watermark: an event whose clock is not far ahead.
CREATE TABLE claims AS
SELECT *, time_us - ((time_us % getvariable('pane_us')) + getvariable('pane_us')) % getvariable('pane_us') AS pane,
       max(time_us) OVER (PARTITION BY partition ORDER BY "offset"
                          ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS newest_before
FROM events
WHERE is_whole AND time_us IS NOT NULL AND time_us <= kafka_us + getvariable('future_us');

-- A pane is closed when its partition has seen an event later than its end by the delay.
CREATE TABLE on_time AS
SELECT * FROM claims
WHERE newest_before IS NULL OR pane + getvariable('pane_us') > newest_before - getvariable('delay_us');

CREATE TABLE counted AS
SELECT * FROM on_time
QUALIFY row_number() OVER (PARTITION BY id ORDER BY "offset", partition) = 1;

CREATE TABLE tally AS
SELECT (SELECT count(*) FROM records) AS records,
       (SELECT count(*) FROM counted) AS events,
       (SELECT count(*) FROM on_time) - (SELECT count(*) FROM counted) AS duplicates,
       (SELECT count(*) FROM claims) - (SELECT count(*) FROM on_time) AS late,
       (SELECT count(*) FROM events WHERE is_notice) AS notices,
       (SELECT count(*) FROM records) - (SELECT count(*) FROM claims)
           - (SELECT count(*) FROM events WHERE is_notice) AS quarantined;
