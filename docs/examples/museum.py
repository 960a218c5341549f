"""From a folder of scans to tags, groups and a report, in Python; each part is a cell of a notebook."""

# %% Tag a folder, with your own table joined
import artylyze

catalog = artylyze.tag(
    "scans", "catalog", metadata="objects.csv", id_column="number", file_column="file", max_error_rate=0.1
)
print(catalog)
print(catalog.failures())

# %% Works that a person should check, as a pandas table
check = catalog.to_pandas(
    ["image_id", "genre", "genre_score", "metadata"], where="genre_review AND metadata.artist IS NOT NULL"
)
print(check.sort_values("genre_score"))

# %% The whole catalog in DuckDB
import duckdb  # noqa: E402 - a cell imports what it needs

works = duckdb.from_arrow(catalog.dataset())
works.aggregate("genre, count(*) AS images, avg(genre_score) AS score").order("images DESC").show()

# %% Predict for images at hand: paths, bytes, Pillow images or arrays
model = artylyze.load_model("starter")
(prediction,) = model.predict(["scans/000.png"], top_k=3)
for term, score in prediction.tasks["genre"]:
    print(f"{score:.2f}  {term}")

# %% Works most like an image
ids, matrix = catalog.embeddings()  # float32 (images, dimensions)
query = model.embed(["scans/000.png"])[0]
likeness = matrix @ query
print([ids[row] for row in likeness.argsort()[::-1][:5]])

# %% Group works that look alike, and write a page to share
clusters = artylyze.cluster(catalog, "clusters", k=3)
print(clusters)
artylyze.report(catalog, "report.html", clusters=clusters)
