/** Methods of the interpreter below and above one that is compiled: b calls c for the first time. */
public class Mixed {
    static int sink;

    static int b(int number) {
        sink += number;
        return number == 7 ? c(number) : number + 1;
    }

    static int c(int number) {
        try {
            Thread.sleep(1_000_000);
        } catch (InterruptedException ended) {
            sink++;
        }
        return number;
    }

    static int a(int number) {
        return b(number) + 1;
    }

    static int z(int number) {
        return a(number) + 1;
    }

    public static void main(String[] words) throws Exception {
        for (int round = 0; round < 200_000; round++) {
            b(round % 5);
        }
        Thread.sleep(500);
        z(7);
    }
}
