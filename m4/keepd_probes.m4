dnl KEEPD_PROBES
dnl --enable-probes=auto builds USDT probes where <sys/sdt.h> is there (Debian: systemtap-sdt-dev).
AC_DEFUN([KEEPD_PROBES], [
  AC_ARG_ENABLE([probes],
    [AS_HELP_STRING([--enable-probes], [USDT probes for bpftrace, perf and systemtap @<:@auto@:>@])],
    [], [enable_probes=auto])
  AS_IF([test "x$enable_probes" != xno], [
    AC_CHECK_HEADER([sys/sdt.h],
      [AC_DEFINE([HAVE_SDT], [1], [Define to 1 to build USDT probes.])],
      [AS_IF([test "x$enable_probes" = xyes],
        [AC_MSG_ERROR([--enable-probes needs <sys/sdt.h> (Debian: systemtap-sdt-dev)])])])])
])
