dnl KEEPD_SECCOMP
dnl --with-seccomp=auto takes libseccomp where it is there; never together with sanitizers, whose
dnl run-time libraries need system calls of their own.
AC_DEFUN([KEEPD_SECCOMP], [
  AC_ARG_WITH([seccomp],
    [AS_HELP_STRING([--with-seccomp], [filter system calls with libseccomp @<:@auto@:>@])],
    [], [with_seccomp=auto])
  AS_IF([test "x$enable_sanitizers" != xno], [
    AS_IF([test "x$with_seccomp" = xyes],
      [AC_MSG_ERROR([--with-seccomp and --enable-sanitizers exclude each other])])
    with_seccomp=no])
  AS_CASE([$with_seccomp],
    [no], [],
    [yes], [KEEPD_PKG([SECCOMP], [libseccomp >= 2.5], [libseccomp-dev])],
    [PKG_CHECK_MODULES([SECCOMP], [libseccomp >= 2.5], [with_seccomp=yes], [with_seccomp=no])])
  AM_CONDITIONAL([WITH_SECCOMP], [test "x$with_seccomp" = xyes])
])
