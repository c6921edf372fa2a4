-- Events at a city: the first place that the record includes, when that is one.
SELECT window_start, window_end, place, count(*) AS events,
       count(*) FILTER (list_contains(refers, 'retweeted')) AS reposts,
       count(*) FILTER (len(refers) > 0) AS referencing,
       count(DISTINCT actor) AS unique_actors
FROM windowed WHERE place_type = 'city' AND place IS NOT NULL GROUP BY ALL
