/** Never sleeps: turns below a recursion, compiled or in the interpreter. */
public class Busy {
    static long sink;

    static void turn(long number) {
        sink += number * 31;
    }

    static void spin() {
        for (long number = 0;; number++) {
            turn(number);
        }
    }

    static void climb(int depth) {
        if (depth > 0) {
            climb(depth - 1);
            return;
        }
        spin();
    }

    public static void main(String[] words) {
        climb(6);
    }
}
