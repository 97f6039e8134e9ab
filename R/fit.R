# The fit: a plain list of class "hlm". It holds no environment of a function and no pointer, so it survives saveRDS(),
# and nothing done with it evaluates its call again.

new_hlm <- function(call, spec, frame, built, core, reml, control, contrasts, extra) {
  spec$coefs <- built$coefs
  # the layout is in the design
  spec$layout <- NULL
  fit <- list(
    call = call,
    formula = spec$formula,
    spec = `class<-`(spec, "hlm_spec"),
    id = frame$id,
    time = spec$time,
    data = frame_data(frame),
    rows = frame$rows,
    na.action = frame$na_action,
    dropped = frame$dropped,
    means = built$means,
    blueprint = built$blueprint,
    design = built$design,
    core = core,
    REML = reml,
    control = control,
    contrasts = contrasts,
    weights_name = extra$weights_name,
    offset_expr = extra$offset_expr
  )
  fit$residual <- spec$residual$formula
  class(fit) <- "hlm"
  fit
}

# The raw variables after `subset`, before `na.action`; weights and offset of the call under the names that
# model.frame() gives them.
frame_data <- function(frame) {
  names <- if (is.null(frame$row_names)) .set_row_names(frame$n) else frame$row_names
  data <- frame$raw
  attr(data, "row.names") <- names
  class(data) <- "data.frame"
  data
}
