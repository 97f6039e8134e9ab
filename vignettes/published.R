## ---- published
# Figures as printed in the article, with the tolerance that counts as agreement.
file <- system.file("published", "manubens2023.json", package = "wbhlm")
printed <- jsonlite::fromJSON(file)$figures

# The same figures of a fit on the synthetic data (and of a test, a result of anova()).
figures_of <- function(fit, test = NULL) {
  fixed <- as.data.frame(tidy(fit, effects = "fixed"))
  limits <- confint(fit, ddf = "asymptotic")
  kinds <- c("estimate", "SE", "t", "df", "p", "CI lower", "CI upper")
  share <- icc(fit)
  found <- data.frame(
    term = c(rep(fixed$term, 7), share$group),
    quantity = c(rep(kinds, each = nrow(fixed)), rep("ICC", nrow(share))),
    here = c(
      fixed$estimate, fixed$std.error, fixed$statistic, fixed$df, fixed$p.value, limits,
      share$icc
    )
  )
  if (is.null(test)) return(found)
  rbind(found, data.frame(
    term = "LRT", quantity = c(paste0("chi2(", test$Df[2], ")"), "p"),
    here = c(test$Chisq[2], test$`Pr(>Chisq)`[2])
  ))
}

# One row per printed figure of an analysis: published, here, and whether the two agree.
compare_figures <- function(analysis, found) {
  rows <- printed[printed$analysis == analysis, ]
  key <- paste(sub("^LRT .*", "LRT", rows$term), sub(" below$", "", rows$quantity))
  rows$here <- found$here[match(key, paste(found$term, found$quantity))]
  rows$limit <- grepl(" below$", rows$quantity)
  near <- abs(rows$here - rows$published) <= rows$tolerance + 1e-9
  rows$agrees <- ifelse(rows$limit, rows$here < rows$published, near)
  rows$quantity <- sub(" below$", "", rows$quantity)
  rows$test <- grepl("^LRT", rows$term)
  rows$term <- plain_term(rows$term)
  rows
}

plain_term <- function(term) {
  plain <- c(
    "(Intercept)" = "Intercept", session = "Session", ans_between = "Between patients",
    ans_within = "Within patients", "ans_within:ans_between" = "Between x within"
  )
  ifelse(term %in% names(plain), plain[term], sub("^LRT", "Likelihood-ratio test", term))
}

decimals <- function(value, digits) {
  ifelse(is.na(value), "", sprintf("%.*f", as.integer(digits), value))
}

p_text <- function(p, digits) {
  ifelse(is.na(p), "", ifelse(p < 0.001, "< .001", decimals(p, digits)))
}

# As many decimals as the article prints; two of ours.
t_text <- function(t, source) {
  ifelse(is.na(t), "", sprintf(if (source == "published") "%g" else "%.2f", t))
}

# Estimates: two lines per term, the article's and ours.
estimate_table <- function(rows) {
  rows <- rows[!rows$test & !rows$quantity %in% c("ICC", "mean", "SD", "correlation"), ]
  table <- do.call(rbind, lapply(split(rows, factor(rows$term, unique(rows$term))), term_lines))
  if (is.null(table)) return(NULL)
  filled <- vapply(table, function(column) any(nzchar(column)), TRUE)
  table[filled | names(table) == "Differs"]
}

term_lines <- function(mine) {
  line <- function(source, digits) {
    value <- function(quantity) c(mine[[source]][mine$quantity == quantity], NA)[1]
    limits <- decimals(c(value("CI lower"), value("CI upper")), digits)
    data.frame(
      Term = if (source == "published") mine$term[1] else "", Source = source,
      Estimate = decimals(value("estimate"), digits), SE = decimals(value("SE"), digits),
      `95 % CI` = if (nzchar(limits[1])) paste0("[", limits[1], ", ", limits[2], "]") else "",
      t = t_text(value("t"), source), df = decimals(value("df"), digits - 2),
      p = p_text(value("p"), digits), Differs = "", check.names = FALSE
    )
  }
  both <- rbind(line("published", 2), line("here", 3))
  both$Differs[2] <- paste(mine$quantity[!mine$agrees], collapse = ", ")
  both
}

# Everything else: one line per figure.
other_table <- function(rows) {
  rows <- rows[rows$test | rows$quantity %in% c("ICC", "mean", "SD", "correlation"), ]
  share <- rows$quantity == "ICC"
  show <- function(value, digits) {
    digits <- ifelse(grepl("^chi2", rows$quantity), 2, digits)
    text <- decimals(value, digits)
    text[share] <- paste(decimals(100 * value, digits - 2), "%")[share]
    ifelse(rows$quantity == "p", p_text(value, digits), text)
  }
  published <- show(rows$published, 2)
  published[rows$limit] <- ifelse(share, paste("<", published), "< .001")[rows$limit]
  data.frame(
    Term = rows$term, Figure = rows$quantity, Published = published,
    Here = show(rows$here, 3), Agrees = ifelse(rows$agrees, "yes", "no")
  )
}
