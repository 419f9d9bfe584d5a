import org.apache.activemq.broker.BrokerFactory;
import org.apache.activemq.broker.BrokerService;

/** Broker runs an ActiveMQ Classic broker with the configuration that its argument names, and prints a line when it has started. */
public final class Broker {
  public static void main(String[] args) throws Exception {
    BrokerService b = BrokerFactory.createBroker(args[0]);
    b.start();
    b.waitUntilStarted();
    System.out.println("started");
    b.waitUntilStopped();
  }
}
