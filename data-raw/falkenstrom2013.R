# falkenstrom2013: SYNTHETIC data with the design of Falkenström, Granström & Holmqvist (2013). Run from the repository root; needs
# lme4, lmerTest and jsonlite; takes about half a minute. The project knows the study by its abstract: design and direction of the
# findings. Every size is an assumption of its own, chosen so large that the findings do not hang on the seed (the year).

source(file.path("data-raw", "process", "by-hand.R"))
source(file.path("data-raw", "falkenstrom2013", "simulate.R"))
source(file.path("data-raw", "falkenstrom2013", "publish.R"))

RNGkind("Mersenne-Twister", "Inversion", "Rejection")
seed <- 2013L
set.seed(seed)
falkenstrom2013 <- simulate_falkenstrom()

save(falkenstrom2013, file = file.path("data", "falkenstrom2013.rda"), version = 2, compress = "xz")
result <- publish_falkenstrom(falkenstrom2013, seed, file.path("inst", "published", "falkenstrom2013.json"))
print(result[c("id", "estimate", "p", "met")], digits = 3, row.names = FALSE)
