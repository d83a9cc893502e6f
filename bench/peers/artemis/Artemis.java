import org.apache.activemq.artemis.api.core.QueueConfiguration;
import org.apache.activemq.artemis.api.core.RoutingType;
import org.apache.activemq.artemis.core.config.CoreAddressConfiguration;
import org.apache.activemq.artemis.core.config.impl.ConfigurationImpl;
import org.apache.activemq.artemis.core.server.embedded.EmbeddedActiveMQ;

/** A broker with one queue in memory, for anyone who can reach it: Artemis.java PORT. */
public final class Artemis {
    public static void main(String[] args) throws Exception {
        var queue = QueueConfiguration.of("bench").setAddress("bench").setRoutingType(RoutingType.ANYCAST).setDurable(false);
        var address = new CoreAddressConfiguration().setName("bench").addRoutingType(RoutingType.ANYCAST).addQueueConfig(queue);
        var config = new ConfigurationImpl()
                .setPersistenceEnabled(false)
                .setSecurityEnabled(false)
                .setJMXManagementEnabled(false)
                .addAcceptorConfiguration("amqp", "tcp://127.0.0.1:" + args[0] + "?protocols=AMQP;amqpCredits=1000;amqpLowCredits=500")
                .addAddressConfiguration(address);
        var broker = new EmbeddedActiveMQ().setConfiguration(config);
        broker.start();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            try {
                broker.stop();
            } catch (Exception e) {
                e.printStackTrace();
            }
        }));
    }
}
