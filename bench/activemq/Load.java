import java.util.Arrays;
import java.util.HashSet;
import java.util.Locale;
import java.util.Set;
import java.util.concurrent.atomic.AtomicLong;
import javax.jms.BytesMessage;
import javax.jms.Connection;
import javax.jms.DeliveryMode;
import javax.jms.JMSException;
import javax.jms.MessageConsumer;
import javax.jms.MessageProducer;
import javax.jms.Queue;
import javax.jms.Session;
import org.apache.activemq.ActiveMQConnectionFactory;

/**
 * Load measures an ActiveMQ Classic broker as blazebench jms measures held queues: producers send to consumers through
 * one queue, each producer with one send under way, each consumer with a listener, AUTO_ACKNOWLEDGE. Each of them has a
 * connection of its own, with the client's default settings.
 *
 * <p>Arguments: URL, producers, consumers, bytes of a message, seconds of warming up, seconds of the measurement,
 * persistent or nonpersistent. It prints one JSON object; times are nanoseconds.
 */
public final class Load {
  private static volatile boolean stop;
  private static volatile boolean over;
  private static long begin;
  private static long end;

  /** Times of one thread. */
  private static final class Times {
    private long[] all = new long[1 << 16];
    private int n;

    void add(long t) {
      if (n == all.length) {
        all = Arrays.copyOf(all, 2 * n);
      }
      all[n++] = t;
    }
  }

  /** What one consumer got. */
  private static final class Got {
    final Times times = new Times();
    final Set<Long> seen = new HashSet<>();
    long inTime;
    long twice;
    long corrupt;
  }

  private static String percentiles(Times[] parts) {
    int n = 0;
    for (Times t : parts) {
      n += t.n;
    }
    long[] all = new long[n];
    n = 0;
    for (Times t : parts) {
      System.arraycopy(t.all, 0, all, n, t.n);
      n += t.n;
    }
    if (n == 0) {
      return "null";
    }
    Arrays.sort(all);
    StringBuilder b = new StringBuilder("{\"min\": " + all[0]);
    double[] shares = {0.5, 0.9, 0.99, 0.999};
    String[] names = {"p50", "p90", "p99", "p99.9"};
    for (int i = 0; i < shares.length; i++) {
      b.append(", \"").append(names[i]).append("\": ").append(all[(int) Math.min(n - 1, (long) (shares[i] * n))]);
    }
    return b.append(", \"max\": ").append(all[n - 1]).append("}").toString();
  }

  public static void main(String[] args) throws Exception {
    if (args.length != 7) {
      System.err.println("want URL PRODUCERS CONSUMERS BYTES WARMUP SECONDS persistent|nonpersistent");
      System.exit(2);
    }
    String url = args[0];
    int producers = Integer.parseInt(args[1]);
    int consumers = Integer.parseInt(args[2]);
    int size = Integer.parseInt(args[3]);
    long warmUp = (long) (Double.parseDouble(args[4]) * 1e9);
    long duration = (long) (Double.parseDouble(args[5]) * 1e9);
    boolean persistent = args[6].equals("persistent");

    ActiveMQConnectionFactory factory = new ActiveMQConnectionFactory(url);
    String queue = "bench." + System.nanoTime();
    Connection[] connections = new Connection[producers + consumers];
    AtomicLong delivered = new AtomicLong();
    Got[] got = new Got[consumers];
    for (int i = 0; i < consumers; i++) {
      Connection c = connections[producers + i] = factory.createConnection();
      Session s = c.createSession(false, Session.AUTO_ACKNOWLEDGE);
      MessageConsumer k = s.createConsumer(s.createQueue(queue));
      Got g = got[i] = new Got();
      k.setMessageListener(
          m -> {
            long now = System.nanoTime();
            try {
              BytesMessage b = (BytesMessage) m;
              if (b.getBodyLength() != size) {
                g.corrupt++;
                return;
              }
              long at = b.readLong();
              if (!g.seen.add(b.readLong())) {
                g.twice++;
                return;
              }
              delivered.incrementAndGet();
              if (over) {
                return;
              }
              if (now >= begin && now < end) {
                g.inTime++;
              }
              if (at >= begin && at < end) {
                g.times.add(now - at);
              }
            } catch (JMSException e) {
              g.corrupt++;
            }
          });
    }
    begin = System.nanoTime() + warmUp;
    end = begin + duration;
    for (int i = 0; i < consumers; i++) {
      connections[producers + i].start();
    }
    AtomicLong sent = new AtomicLong();
    Times[] sends = new Times[producers];
    Thread[] threads = new Thread[producers];
    for (int i = 0; i < producers; i++) {
      Connection c = connections[i] = factory.createConnection();
      c.start();
      Session s = c.createSession(false, Session.AUTO_ACKNOWLEDGE);
      Queue q = s.createQueue(queue);
      MessageProducer p = s.createProducer(q);
      p.setDeliveryMode(persistent ? DeliveryMode.PERSISTENT : DeliveryMode.NON_PERSISTENT);
      Times times = sends[i] = new Times();
      long first = (long) i << 40;
      byte[] rest = new byte[size - 16];
      threads[i] =
          new Thread(
              () -> {
                try {
                  for (long n = 1; !stop; n++) {
                    long at = System.nanoTime();
                    BytesMessage m = s.createBytesMessage();
                    m.writeLong(at);
                    m.writeLong(first | n);
                    m.writeBytes(rest);
                    p.send(m);
                    sent.incrementAndGet();
                    long now = System.nanoTime();
                    if (at >= begin && now < end) {
                      times.add(now - at);
                    }
                  }
                } catch (JMSException e) {
                  System.err.println("a producer's send: " + e);
                  System.exit(1);
                }
              });
    }
    for (Thread t : threads) {
      t.start();
    }
    while (System.nanoTime() < end) {
      Thread.sleep(1);
    }
    stop = true;
    for (Thread t : threads) {
      t.join();
    }
    long last = -1;
    for (int quiet = 0; delivered.get() < sent.get() && quiet < 3000; quiet++) {
      Thread.sleep(1);
      if (delivered.get() != last) {
        last = delivered.get();
        quiet = 0;
      }
    }
    over = true;
    long inTime = 0;
    long twice = 0;
    long corrupt = 0;
    Times[] totals = new Times[consumers];
    for (int i = 0; i < consumers; i++) {
      inTime += got[i].inTime;
      twice += got[i].twice;
      corrupt += got[i].corrupt;
      totals[i] = got[i].times;
    }
    System.out.printf(
        Locale.ROOT,
        "{\"msgs_per_s\": %.1f, \"sent\": %d, \"delivered\": %d, \"duplicates\": %d, \"corrupt\": %d, \"send_ns\": %s, \"end_to_end_ns\": %s}%n",
        inTime / (duration / 1e9), sent.get(), delivered.get(), twice, corrupt, percentiles(sends), percentiles(totals));
    System.exit(0);
  }
}
