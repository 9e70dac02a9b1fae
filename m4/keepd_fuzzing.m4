dnl KEEPD_FUZZING
dnl --enable-fuzzing builds the fuzz targets with libFuzzer (needs CC=clang); without it the same
dnl sources are linked with a replayer that runs their corpora in `make check`.
AC_DEFUN([KEEPD_FUZZING], [
  AC_ARG_ENABLE([fuzzing],
    [AS_HELP_STRING([--enable-fuzzing], [link the fuzz targets with libFuzzer (CC=clang)])],
    [], [enable_fuzzing=no])
  AS_IF([test "x$enable_fuzzing" = xyes],
    [KEEPD_CFLAGS="$KEEPD_CFLAGS -fsanitize=fuzzer-no-link"])
  AM_CONDITIONAL([FUZZING], [test "x$enable_fuzzing" = xyes])
])
