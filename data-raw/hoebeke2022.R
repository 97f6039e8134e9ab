# hoebeke2022: real diary data. Run from the repository root; needs ../shared/data/hoebeke2022.csv.gz, whose rows are those of
# data/clean/0013_hoebeke_ts.tsv of openESM (Siepe et al. 2026), there under CC BY 4.0. Changed: the participants' codes (initials and
# a date) become the numbers 1 to 40 in the source's order, and `occasion` and `hour` are derived from day and beep.

source_file <- file.path("..", "shared", "data", "hoebeke2022.csv.gz")
if (!file.exists(source_file)) stop("The source file is not at hand: ", source_file, call. = FALSE)

source_rows <- utils::read.csv(source_file)
per_day <- 4L
items <- c("activity", "negativity", "criticism", "brooding", "replaying", "att_control")
hoebeke2022 <- data.frame(
  id = match(source_rows$id, unique(source_rows$id)), day = source_rows$day, beep = source_rows$beep,
  occasion = per_day * (source_rows$day - 1L) + source_rows$beep,
  # Questionnaires came at 9, 13, 17 and 21 hours.
  hour = 24L * (source_rows$day - 1L) + 9L + 4L * (source_rows$beep - 1L),
  source_rows[items]
)
hoebeke2022 <- hoebeke2022[order(hoebeke2022$id, hoebeke2022$occasion), ]
rownames(hoebeke2022) <- NULL

stopifnot(
  nrow(hoebeke2022) == 2102, max(hoebeke2022$id) == 40, !anyDuplicated(hoebeke2022[c("id", "occasion")]),
  all(vapply(hoebeke2022, is.integer, NA)), max(hoebeke2022$occasion) == 56
)
save(hoebeke2022, file = file.path("data", "hoebeke2022.rda"), version = 2, compress = "xz")
