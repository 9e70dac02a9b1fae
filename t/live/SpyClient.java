// Exercises spymemcached: MODE HOST PORT [MECHANISM USER PASSWORD], MODE is binary or text.

import java.net.InetSocketAddress;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import net.spy.memcached.CASResponse;
import net.spy.memcached.CASValue;
import net.spy.memcached.CachedData;
import net.spy.memcached.ConnectionFactoryBuilder;
import net.spy.memcached.MemcachedClient;
import net.spy.memcached.auth.AuthDescriptor;
import net.spy.memcached.auth.PlainCallbackHandler;
import net.spy.memcached.transcoders.SerializingTranscoder;

public class SpyClient {
    private static int nFailed = 0;
    private static String mode;

    private static void check(String name, boolean good) {
        System.out.println((good ? "ok - " : "not ok - ") + mode + ": " + name);
        nFailed += good ? 0 : 1;
    }

    private static <T> T wait(Future<T> future) throws Exception {
        return future.get(15, TimeUnit.SECONDS);
    }

    public static void main(String[] args) throws Exception {
        System.setProperty("net.spy.log.LoggerImpl", "net.spy.memcached.compat.log.SunLogger");
        java.util.logging.Logger.getLogger("net.spy").setLevel(java.util.logging.Level.SEVERE);
        mode = args[0];
        boolean binary = mode.equals("binary");
        SerializingTranscoder transcoder = new SerializingTranscoder(4 * 1024 * 1024);
        transcoder.setCompressionThreshold(Integer.MAX_VALUE);
        ConnectionFactoryBuilder builder = new ConnectionFactoryBuilder()
            .setProtocol(binary ? ConnectionFactoryBuilder.Protocol.BINARY
                                : ConnectionFactoryBuilder.Protocol.TEXT)
            .setTranscoder(transcoder)
            .setOpTimeout(15000);
        if (args.length > 5) {
            builder.setAuthDescriptor(new AuthDescriptor(new String[] {args[3]},
                new PlainCallbackHandler(args[4], args[5])));
        }
        MemcachedClient c = new MemcachedClient(builder.build(),
            Arrays.asList(new InetSocketAddress(args[1], Integer.parseInt(args[2]))));
        try {
            exercise(c, binary);
        } catch (Exception e) {
            check("no exception", false);
            e.printStackTrace(System.out);
        }
        c.shutdown();
        System.exit(nFailed == 0 ? 0 : 1);
    }

    private static void exercise(MemcachedClient c, boolean binary) throws Exception {
        check("set and get", wait(c.set("a", 0, "1")) && "1".equals(c.get("a")));
        check("get of an absent key", c.get("absent") == null);
        check("an empty value", wait(c.set("empty", 0, "")) && "".equals(c.get("empty")));
        check("add", wait(c.add("b", 0, "2")) && !wait(c.add("b", 0, "3")));
        check("replace", wait(c.replace("b", 0, "3")) && !wait(c.replace("no", 0, "3")));
        check("append and prepend", wait(c.append("b", "x")) && wait(c.prepend("b", "y"))
            && "y3x".equals(c.get("b")));
        check("append to an absent key", !wait(c.append("no", "x")));
        check("delete", wait(c.delete("b")) && !wait(c.delete("b")));

        List<String> keys = new ArrayList<>();
        List<Future<Boolean>> stores = new ArrayList<>();
        for (int i = 0; i < 1000; i++) {
            keys.add("k" + i);
            stores.add(c.set("k" + i, 0, "value " + i));
        }
        boolean stored = true;
        for (Future<Boolean> f : stores) {
            stored &= wait(f);
        }
        check("1000 sets in flight", stored);
        Map<String, Object> found = c.getBulk(keys);
        boolean same = found.size() == 1000;
        for (int i = 0; same && i < 1000; i++) {
            same = ("value " + i).equals(found.get("k" + i));
        }
        check("getBulk of 1000 keys", same);

        CASValue<Object> got = c.gets("a");
        check("cas that fits", c.cas("a", got.getCas(), "2") == CASResponse.OK);
        check("cas that does not fit", c.cas("a", got.getCas(), "3") == CASResponse.EXISTS);
        check("cas of an absent key", c.cas("no", 5, "3") == CASResponse.NOT_FOUND);

        check("incr of an absent key", c.incr("no", 1) == -1);
        check("incr with initial", c.incr("n", 5, 10L) == 10 && c.incr("n", 5) == 15);
        check("decr", c.decr("n", 6) == 9 && c.decr("n", 100) == 0);
        check("decr with initial", c.decr("m", 5, 7L) == 7);
        check("touch", wait(c.touch("n", 100)));
        if (binary) {
            check("getAndTouch", "2".equals(c.getAndTouch("a", 100).getValue()));
            check("delete with a wrong cas", !wait(c.delete("a", 1L)));
            c.set("ключ€", 0, "wide");
            check("a key beyond ASCII", "wide".equals(c.get("ключ€")));
        }
        int past = (int) (System.currentTimeMillis() / 1000) - 10;
        check("expiry", wait(c.set("gone", past, "1")) && c.get("gone") == null);

        char[] letters = new char[1_000_000];
        Arrays.fill(letters, 'v');
        String big = new String(letters);
        check("a value of 1 MB", wait(c.set("big", 0, big)) && big.equals(c.get("big")));
        boolean refused;
        try {
            refused = !wait(c.set("toobig", 0, big + big));
        } catch (Exception e) {
            refused = true;
        }
        check("2 MB are refused", refused);
        check("the client goes on", "2".equals(c.get("a")));

        check("version", c.getVersions().values().iterator().next().matches(
            binary ? "\\d+\\.\\d+\\.\\d+" : "(VERSION )?\\d+\\.\\d+\\.\\d+"));
        Map<String, String> stats = c.getStats().values().iterator().next();
        check("stats", Integer.parseInt(stats.get("curr_items")) > 1000);
        check("stats settings",
            "1024".equals(c.getStats("settings").values().iterator().next().get("maxconns")));
        check("stats items", c.getStats("items").values().iterator().next() != null);
        check("flush", wait(c.flush()) && c.get("a") == null);
    }
}
