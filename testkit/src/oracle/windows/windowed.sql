-- Every event once for each window that it is in. In: `counted`; variables `window_us`, `slide_us`.
CREATE OR REPLACE TABLE windowed AS
SELECT *, make_timestamp(start_us) AS window_start, make_timestamp(start_us + getvariable('window_us')) AS window_end
FROM (
    SELECT *, unnest(list_transform(
        generate_series(
            CAST(floor((time_us - getvariable('window_us')) / getvariable('slide_us')) AS BIGINT) + 1,
            CAST(floor(time_us / getvariable('slide_us')) AS BIGINT)),
        lambda n: n * getvariable('slide_us'))) AS start_us
    FROM counted
);
