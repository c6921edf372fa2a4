-- Smiles `:)` by hashtag, summed over the events that carry it; a hashtag that an event names twice
-- counts once for it. The first `top_n` of a window, ties by name (in the order of code points).
SELECT window_start, window_end, tag, sum(smiles)::BIGINT AS smiles
FROM (SELECT window_start, window_end, unnest(tags) AS tag,
             (length(text) - length(replace(text, ':)', ''))) // 2 AS smiles
      FROM windowed)
WHERE smiles > 0
GROUP BY window_start, window_end, tag
QUALIFY row_number() OVER (PARTITION BY window_start ORDER BY sum(smiles) DESC, tag) <= getvariable('top_n')
