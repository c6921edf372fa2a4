# Counts hashtags with smiles and the sentiment of texts from a recording of X's v2 stream, and compares them with
# the tables: after the page's block for pandas, which brings `pd` and `read`, and with `store`. Prints how many rows there are.
import json
import sys
from collections import Counter, defaultdict
from datetime import datetime
from functools import lru_cache
from statistics import fmean, variance

from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

analyzer = SentimentIntensityAnalyzer()
compound = lru_cache(maxsize=None)(lambda text: analyzer.polarity_scores(text)["compound"])


def close(a, b):
    return (pd.isna(a) and pd.isna(b)) or abs(a - b) < 1e-9


seen, smiles, texts = set(), defaultdict(Counter), defaultdict(list)
with open(sys.argv[1], encoding="utf-8", newline="\n") as recording:
    for post in (json.loads(line)["data"] for line in recording):
        if post["id"] in seen:
            continue
        seen.add(post["id"])
        at = int(datetime.fromisoformat(post["created_at"]).timestamp())
        for tag in {entry["tag"] for entry in post.get("entities", {}).get("hashtags", [])}:
            smiles[at - at % 3600][tag] += post["text"].count(":)")
        texts[at - at % 300].append((compound(post["text"]), post["id"], post["text"]))

wanted = set()
for hour, tags in smiles.items():
    ranked = sorted((-count, tag) for tag, count in tags.items() if count > 0)
    wanted |= {(hour, tag, -count) for count, tag in ranked[:10]}
happiest = read(store, "happiest_hashtags")
starts = [int(start.timestamp()) for start in happiest["window_start"]]
rows = list(zip(starts, happiest["tag"], happiest["smiles"].tolist()))
assert len(rows) == len(set(rows)) and set(rows) == wanted, set(rows) ^ wanted

sentiment = read(store, "sentiment_extremes")
assert [int(start.timestamp()) for start in sentiment["window_start"]] == sorted(texts)
for row in sentiment.itertuples():
    posts = texts[int(row.window_start.timestamp())]
    scores = [score for score, _, _ in posts]
    spread = variance(scores) if len(scores) > 1 else float("nan")
    assert row.sentiment_count == len(posts), row
    assert close(row.sentiment_mean, fmean(scores)), row
    assert close(row.sentiment_variance, spread) and close(row.sentiment_stddev, spread**0.5), row
    assert (row.sentiment_min, row.sentiment_max) == (min(scores), max(scores)), row
    most = min(posts, key=lambda post: (-post[0], post[1], post[2]))
    least = min(posts)
    assert (row.most_positive, row.most_positive_id, row.most_positive_text) == most, (row, most)
    assert (row.most_negative, row.most_negative_id, row.most_negative_text) == least, (row, least)

print(json.dumps({"happiest_hashtags": len(rows), "sentiment_extremes": len(sentiment)}))
