dnl KEEPD_PKG(PREFIX, MODULES, DEBIAN-PACKAGE)
dnl Finds MODULES with pkg-config, or stops with the name of the Debian package that brings them.
AC_DEFUN([KEEPD_PKG], [
  PKG_CHECK_MODULES([$1], [$2], [],
    [AC_MSG_ERROR([$2 not found by pkg-config: install the Debian package $3])])
])
