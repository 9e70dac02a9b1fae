/* Any bytes on a binary connection. */
#include "t/fuzz/requests.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    check_requests(PROTOCOL_BINARY, data, n);
    return 0;
}
