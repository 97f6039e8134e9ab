#include <setjmp.h>
#include <R.h>
#include <Rinternals.h>
#include <R_ext/Rdynload.h>

void register_extendr_panic_hook(void);
void R_init_wbhlm_extendr(DllInfo *dll);

typedef struct {
    SEXP callback;
    int done;
} poll_request;

static SEXP poll_body(void *data) {
    poll_request *request = data;
    R_CheckUserInterrupt();
    if (request->callback != R_NilValue) {
        SEXP done = PROTECT(ScalarInteger(request->done));
        SEXP call = PROTECT(lang2(request->callback, done));
        eval(call, R_BaseEnv);
        UNPROTECT(2);
    }
    return R_NilValue;
}

static void poll_cleanup(void *data, Rboolean jump) {
    if (jump) {
        longjmp(*(jmp_buf *) data, 1);
    }
}

/* Main thread only. Lets R look for interrupts and time limits, then calls `callback` (a function, or NULL) with `done`. Handlers of conditions run as
   usual. A jump that wants to leave for whatever is higher up on R's stack (an interrupt, an error, a restart, a handler that exits) stops here,
   so that it never skips a Rust frame: the value is then what wbhlm_resume() needs to let it go on, otherwise NULL. */
SEXP wbhlm_poll(SEXP callback, int done) {
    poll_request request = {callback, done};
    jmp_buf here;
    SEXP token = PROTECT(R_MakeUnwindCont());
    if (setjmp(here)) {
        UNPROTECT(1);
        return token;
    }
    R_UnwindProtect(poll_body, &request, poll_cleanup, &here, token);
    UNPROTECT(1);
    return R_NilValue;
}

/* .External(wbhlm_resume, token): the jump goes on, now that no Rust frame is left between here and its target. */
static SEXP wbhlm_resume(SEXP arguments) {
    R_ContinueUnwind(CADR(arguments));
    return R_NilValue;
}

static const R_ExternalMethodDef external_methods[] = {
    {"wbhlm_resume", (DL_FUNC) &wbhlm_resume, 1},
    {NULL, NULL, 0}
};

void R_init_wbhlm(DllInfo *dll) {
    register_extendr_panic_hook();
    R_init_wbhlm_extendr(dll);
    /* leaves the .Call routines as they are, but opens the look-up by name again */
    R_registerRoutines(dll, NULL, NULL, NULL, external_methods);
    R_useDynamicSymbols(dll, FALSE);
}
