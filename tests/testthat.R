library(testthat)
library(wbhlm)

test_check("wbhlm")
