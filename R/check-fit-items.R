# The items of check_fit(), each from what the fit already holds or a method that has its own file.

item_convergence <- function(fit) {
  status <- fit$core$status %||% "converged"
  decrement <- fit$core$decrement %||% NA_real_
  if (status == "failed") {
    return(finding(
      "Estimation", "problem", decrement, paste("no optimum was found.", fit$core$message),
      "Do not interpret the results; simplify the random effects and check the data."
    ))
  }
  finding("Estimation", "ok", decrement, "the optimum was found.")
}

item_boundary <- function(fit) {
  if (length(fit$core$boundary)) {
    return(lapply(fit$core$boundary, function(boundary) {
      finding(
        "Random effects at the limit", "look", 0, boundary_words(boundary, fit),
        "Keep the model if the effect belongs to the design, otherwise leave this random effect out and see whether conclusions stay.",
        "Barr et al. 2013; Matuschek et al. 2017", plain_level(boundary$group)
      )[[1L]]
    }))
  }
  correlations <- unlist(lapply(VarCorr.hlm(fit), function(v) {
    r <- attr(v, "correlation")
    r[lower.tri(r)]
  }))
  largest <- if (length(correlations)) max(abs(correlations)) else 0
  finding(
    "Random effects at the limit", judge(largest, 0.95, 0.999), largest,
    if (largest > 0.95) "two random effects are almost perfectly correlated." else "no variance is zero and no correlation is close to one.",
    "Centre the predictor of the random slope, or leave the slope out and compare.", "Matuschek et al. 2017"
  )
}

item_rank <- function(fit) {
  lost <- fit$design$x_names[fit$core$dropped]
  if (!length(lost)) return(finding("Predictors estimable", "ok", 0, "all coefficients could be estimated."))
  finding(
    "Predictors estimable", "problem", length(lost), paste0("left out because other predictors determine them: ", show_some(lost), "."),
    "Remove the redundant predictor, or combine categories that do not occur together."
  )
}

item_rows_lost <- function(fit) {
  available <- NROW(fit$data)
  share <- 1 - n_rows(fit) / available
  if (share == 0) return(finding("Rows left out", "ok", 0, "all rows were analysed."))
  lost <- fit$dropped[fit$dropped > 0L]
  which <- if (length(lost)) paste0(" (", paste(names(lost), lost, sep = ": ", collapse = ", "), ")") else ""
  finding(
    "Rows left out", judge(share, 0.05, 0.3), share,
    paste0(
      format(available - n_rows(fit), big.mark = ","), " of ", format(available, big.mark = ","), " rows (", round(100 * share, 1L),
      " %) have missing values", which, "."
    ),
    paste(
      "Compare the people and sessions lost with those kept; the estimates assume that values are missing at random given the model.",
      "Consider multiple imputation for predictors."
    ),
    "Enders 2022"
  )
}

# Few groups: variances and standard errors of predictors of that level rest on them.
item_groups <- function(fit) {
  coefs <- fit$spec$coefs[kept_columns(fit), , drop = FALSE]
  items <- lapply(fit$design$groups[used_groups(fit$design)], function(group) {
    j <- length(group$levels)
    predictors <- sum(coefs$level == group$name & coefs$name != "(Intercept)")
    verdict <- if (j < 10L || j <= predictors + 2L) "problem" else if (j < 30L || predictors > 0L && j < 10L * predictors) "look" else "ok"
    about <- if (predictors) paste0(count(j, "group"), " for ", count(predictors, "predictor"), " of that level.") else paste0(count(j, "group"), ".")
    finding(
      "Number of groups", verdict, j, about,
      paste(
        "Use REML and small-sample degrees of freedom (the default), keep few predictors of this level, and do not put weight on its variance;",
        "with fewer than 10 groups consider fixed effects for them."
      ), "Maas & Hox 2005; McNeish & Stapleton 2016", plain_level(group$name)
    )[[1L]]
  })
  items
}

# Where each level-1 predictor varies.
item_predictor_levels <- function(fit) {
  coefs <- fit$spec$coefs[kept_columns(fit), , drop = FALSE]
  use <- coefs$level == "1" & coefs$type %in% c("within", "other") & coefs$name != "(Intercept)" & !grepl(", ", coefs$variables, fixed = TRUE)
  person <- fit$design$groups[[person_group(fit)]]
  items <- lapply(which(use), function(k) {
    if (coefs$type[[k]] == "within") item_within(fit, coefs, k, person) else item_mixed(fit, coefs$name[[k]], person)
  })
  unlist(items, recursive = FALSE)
}

item_within <- function(fit, coefs, k, person) {
  name <- coefs$name[[k]]
  spread <- within_spread(x_column(fit, name), person)
  partner <- partner_columns(fit, name)
  between <- sum(vapply(partner, function(column) stats::var(x_column(fit, column)), 0))
  share <- if (length(partner)) spread$within / (spread$within + between) else NA_real_
  constant <- mean(spread$by_group == 0)
  verdict <- if (isTRUE(share < 0.02)) "problem" else if (isTRUE(share < 0.1) || constant > 0.25) "look" else "ok"
  text <- paste0(
    if (is.na(share)) "" else paste0(round(100 * share), " % of its variance lies within each ", plain_level(person$name), "; "),
    round(100 * constant), " % of the groups show no change."
  )
  finding(
    "Variation within persons", verdict, share, text,
    "With little change within persons the within effect is uncertain and rests on few of them; do not read a wide interval as no effect.",
    "Curran & Bauer 2011", name
  )
}

# The between columns made of the same variable.
partner_columns <- function(fit, name) {
  for (means in fit$means) {
    labels <- column_label(names(means$columns))
    if (!name %in% labels) next
    kind <- vapply(means$columns, `[[`, "", "kind")
    return(intersect(labels[kind == "between"], names(fixef.hlm(fit))))
  }
  character()
}

within_spread <- function(x, group) {
  n <- tabulate(group$codes, length(group$levels))
  centred <- x - (drop(rowsum(x, group$codes, reorder = TRUE)) / n)[group$codes]
  size <- max(abs(x), 0)
  centred[abs(centred) < 1e-10 * size] <- 0
  list(within = mean(centred^2), by_group = drop(rowsum(centred^2, group$codes, reorder = TRUE)))
}

# A level-1 predictor that the formula does not split.
item_mixed <- function(fit, name, person) {
  x <- x_column(fit, name)
  total <- mean((x - mean(x))^2)
  if (total == 0) return(list())
  n <- length(x) / length(person$levels)
  # share of the true between variance: sampling alone gives about 1/n of the within variance to the means
  within <- within_spread(x, person)$within * n / max(n - 1, 1)
  share <- max(0, 1 - within / total)
  finding(
    "Within and between not separated", judge(share, 0.1, 0.5), share,
    paste0(
      round(100 * share), " % of its variance lies between groups of ", plain_level(person$name),
      if (share > 0.1) "; its coefficient is a mixture of the within and the between effect." else ", so its coefficient is a within effect."
    ),
    paste0("Put wb(", name, ") into the formula unless the two effects are known to be equal."), "Curran & Bauer 2011; Bell et al. 2019", name
  )
}

# Residuals of the rows ----------------------------------------------------------------------------------------------------------------------

shape_of <- function(z) {
  z <- z - mean(z)
  s <- sqrt(mean(z^2))
  c(skewness = mean(z^3) / s^3, kurtosis = mean(z^4) / s^4 - 3)
}

# Limits of West, Finch & Curran (1995): 2 and 7; half of them for a look.
judge_shape <- function(shape) judge(max(abs(shape[["skewness"]]) / 2, abs(shape[["kurtosis"]]) / 7), 0.5, 1)

shape_words <- function(shape) {
  shown <- formatC(shape, format = "f", digits = 2L)
  paste0("skewness ", shown[["skewness"]], ", excess kurtosis ", shown[["kurtosis"]], ".")
}

item_row_normality <- function(fit) {
  shape <- shape_of(row_residuals(fit)$standardized)
  finding(
    "Normality of residuals (rows)", judge_shape(shape), shape[["skewness"]], shape_words(shape),
    "Look at plot(fit, \"qq\"); transform the outcome, or use robust standard errors (vcov = \"CR2\").", "West et al. 1995; Schielzeth et al. 2020"
  )
}

item_row_outliers <- function(fit) {
  rows <- row_residuals(fit)
  limit <- stats::qnorm(1 - 0.05 / (2 * nrow(rows)))
  over <- which(abs(rows$standardized) > limit)
  over <- over[order(-abs(rows$standardized[over]))]
  text <- if (length(over)) {
    paste0("rows ", show_some(rows$row[over]), " are farther from what is expected than chance allows.")
  } else {
    paste0("no row is farther than ", formatC(limit, format = "f", digits = 1L), " residual SDs from what is expected.")
  }
  verdict <- judge(max(abs(rows$standardized)), limit, 2 * limit)
  finding(
    "Outlying rows", verdict, length(over), text, "Check these values for errors of recording; fit without them and compare.",
    "Snijders & Bosker 2012, ch. 10"
  )
}

item_variances <- function(fit) {
  g <- person_group(fit)
  test <- variance_homogeneity(fit, g)
  about <- plain_level(group_names(fit)[[g]])
  if (is.null(test)) {
    return(finding("Equal residual variance", "not checked", NA_real_, "too few rows per group.", about = about))
  }
  spread <- stats::quantile(test$groups$sd, c(0.1, 0.9), names = FALSE)
  ratio <- test$statistic / test$df
  verdict <- if (test$p_value < 0.001 && ratio > 2) "problem" else if (test$p_value < 0.01) "look" else "ok"
  worst <- test$groups$group[order(-abs(test$groups$z))]
  finding(
    "Equal residual variance", verdict, test$p_value,
    paste0(
      "residual SDs from ", formatC(spread[[1L]], digits = 3L), " to ", formatC(spread[[2L]], digits = 3L), " (10th to 90th percentile); H = ",
      formatC(test$statistic, format = "f", digits = 1L), ", df = ", test$df, ", p ", sub("^([^<])", "= \\1", format_p(test$p_value)), ".",
      if (verdict != "ok") paste0(" Most unusual: ", paste(utils::head(worst, 3L), collapse = ", "), ".")
    ),
    "Use robust standard errors (vcov = \"CR2\"); ask whether some persons are measured less reliably.", "Raudenbush & Bryk 2002, ch. 9", about
  )
}

item_spread <- function(fit) {
  rows <- row_residuals(fit)
  r <- suppressWarnings(stats::cor(rank(abs(rows$standardized)), rank(rows$fitted)))
  if (is.na(r)) return(list())
  finding(
    "Spread over the range of the outcome", judge(abs(r), 0.2, 0.4), r,
    paste0("rank correlation of the size of residuals with fitted values ", formatC(r, format = "f", digits = 2L), "."),
    "Look at plot(fit, \"scale-location\"); transform the outcome, or use robust standard errors (vcov = \"CR2\").", "Snijders & Bosker 2012, ch. 10"
  )
}

# Groups -------------------------------------------------------------------------------------------------------------------------------------

item_ranef_normality <- function(fit) {
  items <- lapply(used_groups(fit$design), function(g) {
    values <- group_residuals(fit, group_names(fit)[[g]])
    values <- values[!is.na(values$standardized), , drop = FALSE]
    lapply(split(values, values$effect, drop = TRUE), function(part) {
      about <- paste0(part$effect[[1L]], " of ", plain_level(group_names(fit)[[g]]))
      if (nrow(part) < 10L) return(finding("Normality of random effects", "not checked", NA_real_, "fewer than 10 groups.", about = about)[[1L]])
      shape <- shape_of(part$standardized)
      finding(
        "Normality of random effects", judge_shape(shape), shape[["skewness"]], shape_words(shape),
        "Look at plot(fit, \"ranef-qq\"); a missing group-level predictor or subgroups often show here. Fixed effects are little affected.",
        "McCulloch & Neuhaus 2011; Verbeke & Lesaffre 1997", about
      )[[1L]]
    })
  })
  unlist(items, recursive = FALSE)
}

item_ranef_outliers <- function(fit) {
  lapply(used_groups(fit$design), function(g) {
    name <- group_names(fit)[[g]]
    values <- group_residuals(fit, name)
    values <- values[!duplicated(values$group) & !is.na(values$mahalanobis), , drop = FALSE]
    about <- plain_level(name)
    if (!nrow(values)) return(finding("Outlying groups", "not checked", NA_real_, "the estimated variance is zero.", about = about)[[1L]])
    adjusted <- values$p_value * nrow(values)
    over <- values$group[order(adjusted)][sort(adjusted) < 0.05]
    text <- if (length(over)) paste0(show_some(over), " differ from the others more than chance allows.") else "none."
    finding(
      "Outlying groups", judge(-log10(min(adjusted)), -log10(0.05), 4), length(over), text,
      "Look at plot(fit, \"mahalanobis\") and at their data; fit without them and compare.", "Snijders & Bosker 2012, ch. 10", about
    )[[1L]]
  })
}

item_influence <- function(fit) {
  g <- person_group(fit)
  about <- plain_level(group_names(fit)[[g]])
  j <- length(fit$design$groups[[g]]$levels)
  crossed <- is.null(tree_of(fit))
  if (j < 3L || !length(kept_columns(fit))) {
    return(finding("Influential groups", "not checked", NA_real_, "too few groups, or no fixed effects.", about = about))
  }
  if (crossed && as.double(j) * n_rows(fit) > 1e7) {
    return(finding(
      "Influential groups", "not checked", NA_real_, "takes long with crossed factors of this size; influence(fit) does it all the same.", about = about
    ))
  }
  found <- influence_of(fit, group_names(fit)[[g]])
  cooks <- found$groups$cooks.distance
  most <- suppressWarnings(apply(abs(found$dfbetas), 1L, max, na.rm = TRUE))
  most[!is.finite(most)] <- 0
  top <- max(cooks, 0, na.rm = TRUE)
  verdict <- if (top > 1 || max(most) > 2) "problem" else if (top > 0.5 || max(most) > 1) "look" else "ok"
  order <- utils::head(order(-cooks), 3L)
  moved <- colnames(found$dfbetas)[apply(abs(found$dfbetas[order, , drop = FALSE]), 1L, function(a) if (anyNA(a)) NA else which.max(a))]
  names <- paste0(found$groups$group[order], ifelse(is.na(moved), "", paste0(" (", moved, ")")))
  alone <- found$groups$group[!found$groups$estimable]
  finding(
    "Influential groups", if (length(alone) && verdict == "ok") "look" else verdict, top,
    paste0(
      "largest Cook's distance ", formatC(top, digits = 2L), ", largest change of a coefficient ", formatC(max(most), format = "f", digits = 2L),
      " standard errors; most influential: ", paste(names, collapse = ", "), ".",
      if (length(alone)) paste0(" Without ", show_some(alone), " a coefficient cannot be estimated.")
    ),
    "Look at plot(fit, \"influence\"); fit without these persons, report whether conclusions stay.", "van der Meer et al. 2010; Loy & Hofmann 2014", about
  )
}

item_collinearity <- function(fit) {
  if (!any(fit$design$x[kept_columns(fit)] > 0L)) return(list())
  table <- vif.hlm(fit)
  lapply(unique(table$level), function(one) {
    mine <- table[table$level == one, , drop = FALSE]
    value <- mine$gvif_level_scaled^2
    worst <- which.max(value)
    finding(
      "Overlapping predictors", judge(max(value), 5, 10), max(value),
      paste0("largest variance inflation ", formatC(max(value), format = "f", digits = 1L), " (", mine$term[[worst]], ")."),
      "Centre the factors of products; combine or drop predictors that measure the same.", "Fox & Monette 1992", if (one == "1") "level 1" else plain_level(one)
    )[[1L]]
  })
}
