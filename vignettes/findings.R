## ---- findings
# Findings as told in the literature (sign, or "none"), and the models that show them.
file <- system.file("published", paste0(data_set, ".json"), package = "wbhlm")
told <- jsonlite::fromJSON(file)$findings

# One line per finding of an analysis: what was told, what the fit gives here, whether they agree.
compare_findings <- function(analysis, fit) {
  rows <- told[told$analysis == analysis & told$quantity == "coefficient", ]
  fixed <- as.data.frame(tidy(fit, effects = "fixed"))
  key <- function(term) vapply(strsplit(term, ":"), function(x) paste(sort(x), collapse = ":"), "")
  found <- fixed[match(key(rows$term), key(fixed$term)), ]
  agrees <- ifelse(
    rows$expected == "none", found$p.value > 0.05,
    found$p.value < 0.05 & sign(found$estimate) == ifelse(rows$expected == "negative", -1, 1)
  )
  # Small coefficients need a third decimal.
  number <- function(x) sprintf(if (any(found$std.error < 0.05)) "%.3f" else "%.2f", x)
  data.frame(
    Finding = rows$statement,
    Told = rows$expected,
    Estimate = number(found$estimate), SE = number(found$std.error), df = sprintf("%.0f", found$df),
    p = ifelse(found$p.value < 0.001, "<\u00a0.001", sub("^0", "", sprintf("%.3f", found$p.value))),
    Agrees = ifelse(agrees, "yes", "**no**"), row.names = NULL
  )
}

show_findings <- function(rows) {
  numbers <- names(rows) %in% c("Estimate", "SE", "df", "p")
  knitr::kable(rows, align = ifelse(numbers, "r", "l"), row.names = FALSE)
}
