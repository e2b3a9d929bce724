/* czmq's zbeacon on port 5670. `czmq_peer hear` prints each ZRE beacon as `HOST HEX`; `czmq_peer speak HEX HEX` publishes the first
   frame every second until standard input ends, then the second once. */

#include <czmq.h>

static zactor_t *beacon_new (void)
{
    zactor_t *beacon = zactor_new (zbeacon, NULL);
    assert (beacon);
    zsock_send (beacon, "si", "CONFIGURE", 5670);
    char *host = zstr_recv (beacon);
    assert (host && *host);
    zstr_free (&host);
    return beacon;
}

static void publish (zactor_t *beacon, const char *hex)
{
    byte bytes [255];
    size_t size = strlen (hex) / 2;
    assert (size <= sizeof bytes);
    for (size_t at = 0; at < size; at++) {
        unsigned value;
        int read = sscanf (hex + 2 * at, "%2x", &value);
        assert (read == 1);
        bytes [at] = (byte) value;
    }
    zsock_send (beacon, "sbi", "PUBLISH", bytes, size, 1000);
}

int main (int argc, char **argv)
{
    zactor_t *beacon = beacon_new ();
    if (argc == 2 && streq (argv [1], "hear")) {
        zsock_send (beacon, "sb", "SUBSCRIBE", "ZRE", 3);
        puts ("ready");
        fflush (stdout);
        char *host;
        while ((host = zstr_recv (beacon))) {
            zframe_t *frame = zframe_recv (beacon);
            char *hex = zframe_strhex (frame);
            printf ("%s %s\n", host, hex);
            fflush (stdout);
            zstr_free (&hex);
            zframe_destroy (&frame);
            zstr_free (&host);
        }
    }
    else
    if (argc == 4 && streq (argv [1], "speak")) {
        publish (beacon, argv [2]);
        while (getchar () != EOF);
        publish (beacon, argv [3]);
    }
    else
        return 2;
    // Its commands come in order, so what was published is sent before it ends.
    zactor_destroy (&beacon);
    return 0;
}
