# implement: the IMPLEMENT trial, real data. Run from the repository root; needs ../shared/data/implement.csv, whose values are
# those of `data/completedata.RDS` in the repository PsychometricsMZ/dsem_tutorial (MIT licence). Nothing is changed but the order of
# the columns: the aggregate `wai` stands before its three components.

source_file <- file.path("..", "shared", "data", "implement.csv")
if (!file.exists(source_file)) stop("The source file is not at hand: ", source_file, call. = FALSE)

implement <- utils::read.csv(source_file)
implement <- implement[c("id", "therapist", "session", "wai", "task", "goal", "bond", "bai")]

therapists <- unique(implement[c("id", "therapist")])
stopifnot(
  nrow(implement) == 57 * 15, nrow(therapists) == 57, !anyDuplicated(implement[c("id", "session")]),
  length(unique(implement$therapist)) == 13, is.integer(implement$id), is.integer(implement$therapist)
)

save(implement, file = file.path("data", "implement.rda"), version = 2, compress = "xz")
# The same rows as the CSV that a reader of the "Get started" vignette loads; 15 digits keep every value.
utils::write.csv(implement, file.path("inst", "extdata", "implement.csv"), row.names = FALSE, na = "")
