-- All events.
SELECT window_start, window_end, count(*) AS events,
       count(*) FILTER (list_contains(refers, 'retweeted')) AS reposts,
       count(*) FILTER (len(refers) > 0) AS referencing,
       count(DISTINCT actor) AS unique_actors
FROM windowed GROUP BY ALL
