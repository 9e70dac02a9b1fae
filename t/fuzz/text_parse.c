/* Any bytes on a connection that speaks text or meta. */
#include "t/fuzz/requests.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    check_requests(PROTOCOL_TEXT, data, n);
    return 0;
}
