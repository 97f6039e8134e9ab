## ---- published
# Figures as printed in the article, with the tolerance that counts as agreement.
printed <- jsonlite::fromJSON(system.file("published", "manubens2023.json", package = "wbhlm"))$figures

# The same figures of a fit on the synthetic data (and of a test, a result of anova()).
figures_of <- function(fit, test = NULL) {
  fixed <- as.data.frame(tidy(fit, effects = "fixed"))
  limits <- confint(fit, ddf = "asymptotic")
  share <- icc(fit)
  found <- data.frame(
    term = c(rep(fixed$term, 7), share$group),
    quantity = c(rep(c("estimate", "SE", "t", "df", "p", "CI lower", "CI upper"), each = nrow(fixed)), rep("ICC", nrow(share))),
    here = c(fixed$estimate, fixed$std.error, fixed$statistic, fixed$df, fixed$p.value, limits, share$icc)
  )
  if (is.null(test)) return(found)
  rbind(found, data.frame(
    term = "LRT", quantity = c(paste0("chi2(", test$Df[2], ")"), "p"), here = c(test$Chisq[2], test$`Pr(>Chisq)`[2])
  ))
}

# One row per printed figure of an analysis: published, here, and whether the two agree.
compare_figures <- function(analysis, found) {
  rows <- printed[printed$analysis == analysis, ]
  key <- paste(sub("^LRT .*", "LRT", rows$term), sub(" below$", "", rows$quantity))
  rows$here <- found$here[match(key, paste(found$term, found$quantity))]
  rows$limit <- grepl(" below$", rows$quantity)
  distance <- abs(rows$here - rows$published)
  rows$agrees <- ifelse(rows$limit, rows$here < rows$published, distance <= rows$tolerance + 1e-9)
  rows$term <- plain_term(rows$term)
  rows
}

plain_term <- function(term) {
  plain <- c(
    "(Intercept)" = "Intercept", session = "Session", ans_between = "Between patients", ans_within = "Within patients",
    "ans_within:ans_between" = "Between x within"
  )
  ifelse(term %in% names(plain), plain[term], term)
}

decimals <- function(value, digits) ifelse(is.na(value), "", sprintf(paste0("%.", digits, "f"), value))

p_text <- function(p, digits) ifelse(is.na(p), "", ifelse(p < 0.001, "< .001", decimals(p, digits)))

# Estimates: two lines per term, the article's and ours.
estimate_table <- function(rows) {
  rows <- rows[rows$quantity %in% c("estimate", "SE", "t", "df", "p", "CI lower", "CI upper") & !grepl("^LRT", rows$term), ]
  lines <- lapply(unique(rows$term), function(term) {
    mine <- rows[rows$term == term, ]
    line <- function(which, digits) {
      value <- function(quantity) c(mine[[which]][mine$quantity == quantity], NA)[1]
      interval <- paste0("[", decimals(value("CI lower"), digits), ", ", decimals(value("CI upper"), digits), "]")
      data.frame(
        Term = term, Source = which, Estimate = decimals(value("estimate"), digits), SE = decimals(value("SE"), digits),
        `95 % CI` = if (is.na(value("CI lower"))) "" else interval, t = decimals(value("t"), 2), df = decimals(value("df"), digits - 2),
        p = p_text(value("p"), digits), Differs = "", check.names = FALSE
      )
    }
    both <- rbind(line("published", 2), line("here", 3))
    both$Differs[2] <- paste(mine$quantity[!mine$agrees], collapse = ", ")
    both
  })
  table <- do.call(rbind, lines)
  table[vapply(table, function(column) any(nzchar(column)), TRUE) | names(table) == "Differs"]
}

# Everything else: one line per figure.
other_table <- function(rows) {
  rows <- rows[!rows$quantity %in% c("estimate", "SE", "t", "df", "CI lower", "CI upper") & (rows$quantity != "p" | grepl("^LRT", rows$term)), ]
  share <- grepl("^ICC", rows$quantity)
  show <- function(value, digits) {
    chi_square <- grepl("^chi2", rows$quantity)
    text <- ifelse(share, paste(decimals(100 * value, digits - 2), "%"), decimals(value, ifelse(chi_square, 2, digits)))
    ifelse(grepl("^p", rows$quantity), p_text(value, digits), text)
  }
  published <- show(rows$published, 2)
  published[rows$limit] <- ifelse(share, paste("<", published), "< .001")[rows$limit]
  data.frame(
    Term = rows$term, Figure = sub(" below$", "", rows$quantity), Published = published, Here = show(rows$here, 3),
    Agrees = ifelse(rows$agrees, "yes", "no")
  )
}
