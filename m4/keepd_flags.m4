dnl KEEPD_COMPILE_FLAGS
dnl The warnings and hardening that every object of keepd is built with.
AC_DEFUN([KEEPD_COMPILE_FLAGS], [
  AC_ARG_ENABLE([werror],
    [AS_HELP_STRING([--enable-werror], [treat compiler warnings as errors])],
    [], [enable_werror=no])
  KEEPD_CFLAGS="-std=gnu11 -pthread -fno-strict-aliasing -fno-common"
  KEEPD_CFLAGS="$KEEPD_CFLAGS -Wall -Wextra -Wshadow -Wvla -Wconversion -Wno-sign-conversion"
  KEEPD_CFLAGS="$KEEPD_CFLAGS -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wwrite-strings"
  AS_IF([test "x$enable_werror" = xyes], [KEEPD_CFLAGS="$KEEPD_CFLAGS -Werror"])
  KEEPD_HARDEN_CFLAGS="-fPIE -fstack-protector-strong -fstack-clash-protection"
  dnl The compiler knows for which machine it builds; others refuse the option.
  AC_COMPILE_IFELSE([AC_LANG_SOURCE([[#ifndef __x86_64__
#error another machine
#endif]])],
    [KEEPD_HARDEN_CFLAGS="$KEEPD_HARDEN_CFLAGS -fcf-protection"])
  KEEPD_HARDEN_LDFLAGS="-pie -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack"
  AC_SUBST([KEEPD_CFLAGS])
  AC_SUBST([KEEPD_HARDEN_CFLAGS])
  AC_SUBST([KEEPD_HARDEN_LDFLAGS])
])
