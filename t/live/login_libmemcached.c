/* login_libmemcached HOST PORT USER PASSWORD: logs in with libmemcached's own SASL, sets and gets.
 * Exit status: 0 it works, 1 the login was refused, 2 something else. */
#include <libmemcached/memcached.h>
#include <sasl/sasl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
    size_t n;
    uint32_t flags;
    memcached_return_t result;
    if (argc != 5 || sasl_client_init(NULL) != SASL_OK)
        return 2;
    memcached_st *memc = memcached_create(NULL);
    memcached_behavior_set(memc, MEMCACHED_BEHAVIOR_BINARY_PROTOCOL, 1);
    memcached_set_sasl_auth_data(memc, argv[3], argv[4]);
    memcached_server_add(memc, argv[1], (in_port_t)atoi(argv[2]));
    result = memcached_set(memc, "key", 3, "value", 5, 0, 7);
    printf("set: %s\n", memcached_strerror(memc, result));
    if (result != MEMCACHED_SUCCESS)
        return result == MEMCACHED_AUTH_FAILURE || result == MEMCACHED_AUTH_PROBLEM ? 1 : 2;
    char *value = memcached_get(memc, "key", 3, &n, &flags, &result);
    printf("get: %s\n", memcached_strerror(memc, result));
    int status = value != NULL && n == 5 && flags == 7 && memcmp(value, "value", 5) == 0 ? 0 : 2;
    free(value);
    memcached_free(memc);
    return status;
}
