#include <R.h>
#include <Rinternals.h>
#include <R_ext/Rdynload.h>

void register_extendr_panic_hook(void);
void R_init_wbhlm_extendr(DllInfo *dll);

static void check_interrupt(void *unused) {
    (void) unused;
    R_CheckUserInterrupt();
}

/* Main thread only. The longjmp of a pending interrupt stays inside R_ToplevelExec, so it never skips a Rust frame. */
int wbhlm_interrupt_pending(void) {
    return R_ToplevelExec(check_interrupt, NULL) == FALSE;
}

void R_init_wbhlm(DllInfo *dll) {
    register_extendr_panic_hook();
    R_init_wbhlm_extendr(dll);
}
