dnl KEEPD_SANITIZERS
dnl --enable-sanitizers=address,undefined or =thread; FORTIFY is left out then, it hides their reports.
AC_DEFUN([KEEPD_SANITIZERS], [
  AC_ARG_ENABLE([sanitizers],
    [AS_HELP_STRING([--enable-sanitizers=LIST], [build with these sanitizers, such as address,undefined or thread])],
    [], [enable_sanitizers=no])
  AS_CASE([$enable_sanitizers],
    [no|""], [KEEPD_HARDEN_CFLAGS="$KEEPD_HARDEN_CFLAGS -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2"],
    [yes], [enable_sanitizers=address,undefined])
  AS_IF([test "x$enable_sanitizers" != xno],
    [KEEPD_CFLAGS="$KEEPD_CFLAGS -fsanitize=$enable_sanitizers -fno-sanitize-recover=all -fno-omit-frame-pointer"])
  AM_CONDITIONAL([SANITIZERS], [test "x$enable_sanitizers" != xno])
])
