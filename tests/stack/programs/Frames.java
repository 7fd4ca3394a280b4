import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.function.IntUnaryOperator;

/** Blocked in several ways of Java, in interpreted, compiled and native methods. */
public class Frames {
    private static final Object LOCK = new Object();
    private static volatile boolean blocks;

    static class Inner<T> {
        private final int depth;

        Inner(int depth) {
            this.depth = depth;
        }

        int deep(IntUnaryOperator last) {
            if (depth > 0) {
                return new Inner<String>(depth - 1).deep(last) + 1;
            }

            return last.applyAsInt(depth);
        }
    }

    private static int small(int value) {
        if (blocks && value == 77) {
            sleep();
        }
        return value * 31 + 7;
    }

    private static int hot(int value) {
        int found = 0;
        for (int at = 0; at < 100; at++) {
            found += small(value ^ found);
            if (value == 77) {
                found += small(value);
            }
        }
        return found;
    }

    static void sleep() {
        try {
            Thread.sleep(1000000);
        } catch (InterruptedException ignored) {
            throw new RuntimeException(ignored);
        }
    }

    private static void compiled() {
        int found = 0;
        for (int at = 0; at < 20000; at++) {
            found += hot(at % 50);
        }
        blocks = true;
        hot(77 + (found & 0));
    }

    private static void started(String name, Runnable what) {
        Thread thread = new Thread(what, name);
        thread.setDaemon(true);
        thread.start();
    }

    public static void main(String[] arguments) throws Exception {
        synchronized (LOCK) {
            started("a thread with a name of more than fifteen characters", () -> {
                new Inner<Long>(3).deep(each -> {
                    sleep();
                    return each;
                });
            });
            started("compiled", Frames::compiled);
            started("takes \u00e9\n", () -> {
                try {
                    new LinkedBlockingQueue<String>().take();
                } catch (InterruptedException ignored) {
                    return;
                }
            });
            started("locks", () -> {
                synchronized (LOCK) {
                    blocks = true;
                }
            });
            started("reads", () -> {
                try {
                    System.in.read();
                } catch (java.io.IOException ignored) {
                    return;
                }
            });
            new CountDownLatch(1).await();
        }
    }
}
