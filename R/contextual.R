# Contextual effects: is the effect between persons (therapists) another one than within them?

#' Contextual effects
#'
#' For every variable that the model splits into within and between, the difference of the two effects: what a person's average level adds to
#' the effect of the level itself. With three levels also the difference between the therapist's and the person's effect. A model with `cx(x)` has these
#' differences as coefficients; they are then reported as they are.
#'
#' The joint test asks whether all differences are zero, that is, whether the model could do without the split. In a model with random
#' intercepts only, in which every predictor that varies within persons is split, it is Mundlak's (1978) form of the Hausman test: the null
#' hypothesis that the random intercepts are unrelated to the predictors. With random slopes it tests the same coefficients, but is no longer the
#' classical test. After `detrend` the difference is between the effect of deviations from the person's own trend and that of the
#' trend's level.
#'
#' @param fit A fitted model of class `hlm`.
#' @param ddf Method for the degrees of freedom, as in [contest()].
#' @param level Confidence level.
#' @param x The result.
#' @param digits Significant digits.
#' @param ... Not used.
#' @return An object of class `hlm_contextual`, a list: `effects`, a data frame with one row per difference (`variable`, `contrast`, `Estimate`,
#'   `Std. Error`, `df`, `t value`, `lower`, `upper`, `Pr(>|t|)`); `joint`, the F test of all of them as [contest()] gives it; `L`, the combinations of
#'   coefficients; `inference`, the method's name.
#' @section Errors: `hlm_error_data` when the model splits no variable into within and between.
#' @source Mundlak (1978), *Econometrica* 46, 69-85; Hausman and Taylor (1981), *Econometrica* 49, 1377-1398, section 2.2; Raudenbush and Bryk
#'   (2002), *Hierarchical Linear Models*, chapter 5.
#' @examples
#' # synthetic: 40 persons, 6 sessions
#' set.seed(1)
#' d <- data.frame(patient = rep(1:40, each = 6), session = rep(1:6, 40))
#' d$alliance <- rnorm(40)[d$patient] + rnorm(240)
#' d$distress <- 20 - d$alliance + rnorm(40)[d$patient] + rnorm(240)
#' fit <- hlm(distress ~ wb(alliance) + (1 | patient), d)
#' contextual(fit)
#' @export
contextual <- function(fit, ddf = "Satterthwaite", level = 0.95, ...) {
  check_dots(...)
  if (!inherits(fit, "hlm")) abort_hlm("data", "{.arg fit} must be a model fitted with {.fn hlm}.")
  check_level(level)
  found <- contextual_table(fit, prepare_inference(fit, ddf), level)
  if (is.null(found)) {
    abort_hlm("data", c(
      "The model has no variable with both a within and a between effect.",
      i = "Use {.code wb(x)} or {.code cx(x)} in the formula."
    ))
  }
  found
}

# NULL when there is nothing to compare; summary() shows it otherwise.
contextual_table <- function(fit, inference, level = 0.95) {
  contrasts <- contextual_contrasts(fit)
  if (is.null(contrasts)) return(NULL)
  tests <- test_rows(fit, contrasts$l, 0, inference, level)
  effects <- cbind(contrasts$labels, tests)
  row.names(effects) <- NULL
  structure(
    list(
      effects = effects, joint = test_joint(fit, contrasts$l, 0, inference), L = contrasts$l, inference = inference$label,
      conf.level = level
    ),
    class = "hlm_contextual"
  )
}

contextual_contrasts <- function(fit) {
  pieces <- Filter(Negate(is.null), lapply(names(fit$means), function(label) contextual_of(fit, label)))
  if (!length(pieces)) return(NULL)
  list(l = do.call(rbind, lapply(pieces, `[[`, "l")), labels = do.call(rbind, lapply(pieces, `[[`, "labels")))
}

# Rows for one variable, from the inside out: person minus within, therapist minus person, ... Coefficients that could not be
# estimated end the chain.
contextual_of <- function(fit, label) {
  names <- contextual_columns(fit, label)
  known <- names(fixef.hlm(fit))
  if (is.null(names) || !names$within %in% known) return(NULL)
  present <- names$between %in% known
  if (!length(present) || !present[[1L]]) return(NULL)
  between <- names$between[seq_len(match(FALSE, present, nomatch = length(present) + 1L) - 1L)]
  l <- matrix(0, length(between), length(known), dimnames = list(NULL, known))
  for (i in seq_along(between)) {
    l[i, between[[i]]] <- 1
    lower <- if (i > 1L) between[[i - 1L]] else if (!names$contextual) names$within
    if (!is.null(lower)) l[i, lower] <- -1
  }
  words <- c(paste0("within-", plain_level(fit$id)), paste0("between-", plain_level(names$level)))
  contrast <- paste(words[seq_along(between) + 1L], "minus", words[seq_along(between)])
  rownames(l) <- paste0(label, ": ", contrast)
  list(l = l, labels = data.frame(variable = label, contrast = contrast, stringsAsFactors = FALSE))
}

# The main-effect columns of a split variable: within (the variable itself after cx()), between from the inside out, their levels.
contextual_columns <- function(fit, label) {
  columns <- fit$means[[label]]$columns
  kind <- vapply(columns, `[[`, "", "kind")
  level <- vapply(columns, `[[`, "", "level")
  between <- names(columns)[kind == "between"]
  if (!length(between)) return(NULL)
  depth <- match(level[kind == "between"], c("", fit$means[[label]]$columns[[between[[1L]]]]$chain), nomatch = 1L)
  # the level of a trend at two times: the first one named
  between <- between[order(depth)][!duplicated(sort(depth))]
  level <- level[match(between, names(columns))]
  level[level == ""] <- fit$id
  key <- names(which(source_labels(fit$spec$sources) == label))[[1L]]
  contextual <- key %in% fit$spec$contextual
  within <- if (contextual) contextual_raw(fit, key, label) else column_label(names(columns)[kind == "within"])[1L]
  if (is.na(within)) return(NULL)
  list(within = within, between = column_label(between), level = level, contextual = contextual)
}

# The name of the variable as it stands in the formula: cx(x) has x itself, cx(lagged(x)) the earlier value.
contextual_raw <- function(fit, key, label) {
  value <- fit$spec$values[[fit$spec$sources[[key]]$value]]
  if (value$lag != 0L) column_label(value$label) else deparse1(value$expr, backtick = TRUE)
}

#' @rdname contextual
#' @export
print.hlm_contextual <- function(x, digits = max(3L, getOption("digits") - 3L), ...) {
  print_contextual(x, digits)
  cat(" (t tests with ", x$inference, ")\n", sep = "")
  if (nrow(x$effects) > 1L) {
    cat(" With random intercepts only, the joint test is the Hausman test in Mundlak's form.\n")
  } else {
    cat(" With random intercepts only, this is the Hausman test in Mundlak's form.\n")
  }
  invisible(x)
}

# The block in summary() as well.
print_contextual <- function(x, digits) {
  cat("Contextual effects (do the between and the within effect differ?)\n")
  effects <- x$effects
  shown <- format_effects(effects$Estimate, effects$`Std. Error`, digits)
  table <- cbind(
    Name = paste0(effects$variable, ": ", effects$contrast), shown, df = format_df(effects$df),
    t = formatC(effects$`t value`, format = "f", digits = 2L), p = format_p(effects$`Pr(>|t|)`)
  )
  print_table(table)
  if (nrow(effects) > 1L) {
    joint <- x$joint
    cat(
      " All of them zero: F(", joint$NumDF, ", ", format_df(joint$DenDF), ") = ", formatC(joint$`F value`, format = "f", digits = 2L),
      ", p ", sub("^([^<])", "= \\1", format_p(joint$`Pr(>F)`)), "\n", sep = ""
    )
  }
}
