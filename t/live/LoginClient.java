// Logs in with spymemcached: HOST PORT MECHANISM USER PASSWORD; prints "in" or "out".

import java.net.InetSocketAddress;
import java.util.Arrays;
import java.util.concurrent.TimeUnit;
import net.spy.memcached.ConnectionFactoryBuilder;
import net.spy.memcached.MemcachedClient;
import net.spy.memcached.auth.AuthDescriptor;
import net.spy.memcached.auth.PlainCallbackHandler;

public class LoginClient {
    public static void main(String[] args) throws Exception {
        System.setProperty("net.spy.log.LoggerImpl", "net.spy.memcached.compat.log.SunLogger");
        java.util.logging.Logger.getLogger("net.spy").setLevel(java.util.logging.Level.OFF);
        ConnectionFactoryBuilder builder = new ConnectionFactoryBuilder()
            .setProtocol(ConnectionFactoryBuilder.Protocol.BINARY)
            .setAuthDescriptor(new AuthDescriptor(new String[] {args[2]},
                new PlainCallbackHandler(args[3], args[4])))
            .setOpTimeout(15000);
        MemcachedClient c = new MemcachedClient(builder.build(),
            Arrays.asList(new InetSocketAddress(args[0], Integer.parseInt(args[1]))));
        String answer;
        try {
            boolean isIn = c.set("k", 0, "v").get(3, TimeUnit.SECONDS) && "v".equals(c.get("k"));
            answer = isIn ? "in" : "odd";
        } catch (Exception e) {
            answer = "out";
        }
        System.out.println(answer);
        c.shutdown();
        System.exit(0);
    }
}
