# Predicted courses over time as they are and under a shift of a predictor: the numbers behind plot_trajectories().

# The panels of `by`: list(labels, rows: for each panel the analysed rows it averages over, set: NULL or the value that `by` is set to).
trajectory_panels <- function(fit, by) {
  n <- n_rows(fit)
  if (is.null(by)) return(list(list(label = "", rows = seq_len(n), set = NULL)))
  columns <- newdata_derived(fit, newdata_columns(fit, NULL))$columns
  value <- columns[[by]]
  if (is.null(value)) {
    abort_hlm("data", c("{.arg by} = {.val {by}} is not a variable of the model.", i = "Known variables: {.val {names(columns)}}."))
  }
  if (by %in% vapply(fit$means, `[[`, "", "label")) {
    abort_hlm("data", c(
      "{.var {by}} is split by the formula: say which part of it makes the panels.",
      i = "For example {.code by = \"{fit$spec$columns[[1L]]$name}\"}."
    ))
  }
  distinct <- unique(value[!is.na(value)])
  if (!is.numeric(value) || length(distinct) <= 4L) {
    levels <- if (is.factor(value)) levels(droplevels(value)) else sort(distinct)
    return(lapply(levels, function(level) list(label = paste0(by, ": ", format(level)), rows = which(value == level), set = NULL)))
  }
  # A number that describes persons counts each of them once.
  person <- fit$design$groups[[person_group(fit)]]
  once <- if (constant_within(value, person)) value[match(seq_along(person$levels), person$codes)] else value
  lapply(-1:1, function(k) {
    where <- c("1 SD below the mean", "at the mean", "1 SD above the mean")[[k + 2L]]
    list(label = paste0(by, " ", where), rows = seq_len(n), set = mean(once) + k * stats::sd(once))
  })
}

# Rows of the design as they are and as shifted, with `by` set to a value where a panel does so.
trajectory_rows <- function(fit, panel, by, shift, at) {
  made <- function(shift) {
    rows <- newdata_columns(fit, NULL)
    if (!is.null(panel$set)) rows$columns[[by]] <- rep(panel$set, rows$n)
    rows <- newdata_derived(fit, rows, shift, at)
    list(x = newdata_x(fit, rows)[, kept_columns(fit), drop = FALSE], z = newdata_z(fit, rows))
  }
  base <- made(NULL)
  moved <- made(shift)
  # cancels exactly what does not move
  list(base = base, moved = moved, change = list(x = moved$x - base$x, z = Map(`-`, moved$z, base$z)))
}

# Average courses: data frame panel, time, course ("as observed", "shifted", "difference"), estimate, lower, upper; and the difference averaged
# over the rows of each panel.
population_trajectories <- function(fit, panels, time, by, shift, at, level, ddf) {
  inference <- resolve_inference(fit, ddf)
  offset <- design_offset(fit$design)
  pieces <- lapply(panels, function(panel) {
    rows <- trajectory_rows(fit, panel, by, shift, at)
    use <- panel$rows
    cell <- factor(time[use])
    count <- as.vector(table(cell))
    at_time <- time[use][match(levels(cell), as.character(cell))]
    shown <- rowsum(offset[use], cell)[, 1L] / count
    course <- function(x, name, plus) {
      tests <- test_rows(fit, rowsum(x[use, , drop = FALSE], cell) / count, 0, inference, level)
      data.frame(panel = panel$label, time = at_time, course = name, estimate = tests$Estimate + plus, lower = tests$lower + plus, upper = tests$upper + plus)
    }
    overall <- matrix(colMeans(rows$change$x[use, , drop = FALSE]), 1L)
    list(
      courses = rbind(
        course(rows$base$x, "as observed", shown), course(rows$moved$x, "shifted", shown), course(rows$change$x, "difference", 0)
      ),
      overall = cbind(panel = panel$label, test_rows(fit, overall, 0, inference, level))
    )
  })
  bind_trajectories(pieces, inference$label)
}

bind_trajectories <- function(pieces, label) {
  courses <- do.call(rbind, lapply(pieces, `[[`, "courses"))
  overall <- do.call(rbind, lapply(pieces, `[[`, "overall"))
  row.names(courses) <- row.names(overall) <- NULL
  courses$panel <- factor(courses$panel, levels = unique(courses$panel))
  list(courses = courses, overall = overall, inference = label)
}

# The courses of single persons, with their random effects; standard errors as those of predict(se.fit = TRUE), for the difference of the difference.
person_trajectories <- function(fit, persons, id, time, shift, at, level) {
  rows <- trajectory_rows(fit, list(), NULL, shift, at)
  chosen <- lapply(fit$design$terms, function(term) seq_along(term$columns))
  codes <- lapply(fit$design$groups, `[[`, "codes")
  z_half <- stats::qnorm((1 + level) / 2)
  value <- function(part, use, offset) {
    x <- part$x[use, , drop = FALSE]
    z <- lapply(part$z, function(m) m[use, , drop = FALSE])
    if (length(use) > 1L && identical(offset, "mean")) {
      x <- matrix(colMeans(x), 1L)
      z <- lapply(z, function(m) matrix(colMeans(m), 1L))
    }
    own <- use[seq_len(nrow(x))]
    one <- list(x = x, z = z, codes = lapply(codes, `[`, own))
    estimate <- drop(x %*% fixef.hlm(fit))
    for (t in seq_along(chosen)) estimate <- estimate + new_random(fit, one, t, chosen[[t]])
    se <- prediction_se(fit, one, chosen)
    plus <- if (is.numeric(offset)) offset[use] else 0
    data.frame(estimate = estimate + plus, lower = estimate + plus - z_half * se, upper = estimate + plus + z_half * se, se = se)
  }
  offset <- design_offset(fit$design)
  pieces <- lapply(persons, function(person) {
    use <- which(as.character(id) == person)
    use <- use[order(time[use])]
    named <- function(part, name, offset) cbind(panel = person, time = time[use], course = name, value(part, use, offset)[1:3])
    total <- value(rows$change, use, "mean")
    list(
      courses = rbind(
        named(rows$base, "as observed", offset), named(rows$moved, "shifted", offset), named(rows$change, "difference", 0 * offset)
      ),
      overall = data.frame(panel = person, Estimate = total$estimate, `Std. Error` = total$se, lower = total$lower, upper = total$upper, check.names = FALSE)
    )
  })
  bind_trajectories(pieces, "the normal distribution")
}
