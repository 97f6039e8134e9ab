# manubens2023: SYNTHETIC data whose fits return the figures printed by Manubens et al. (2023). Run from the repository root;
# needs lme4, lmerTest and jsonlite; takes about ten minutes. Method and findings: design/0002-manubens2023.md.

parts <- c("fit.R", "statistics.R", "start.R", "calibrate.R", "steps.R", "persons.R", "publish.R")
for (part in parts) source(file.path("data-raw", "manubens2023", part))

RNGkind("Mersenne-Twister", "Inversion", "Rejection")
set.seed(2023)

published <- utils::read.csv(file.path("data-raw", "manubens2023", "published.csv"))
calibrated <- published[!is.na(published$goal), c("id", "goal", "scale")]
targets <- rbind(calibrated, soft_targets)

d <- start_data()
d <- calibrate(d, targets)
d <- round_to_steps(d)
d <- repair_steps(d, tolerance_band(published, part = 0.9, edge_scale = 0.05))
d <- repair_steps(d, tolerance_band(published, part = 0.98, edge_scale = 0.005))
manubens2023 <- complete_data(d)

save(manubens2023, file = file.path("data", "manubens2023.rda"), version = 2, compress = "xz")
result <- write_published(manubens2023, published, file.path("inst", "published", "manubens2023.json"))
print(result[c("id", "published", "tolerance", "synthetic", "met")], digits = 5, row.names = FALSE)
