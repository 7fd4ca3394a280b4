import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.stream.Collectors;

/** A deep recursion; what Java says of it is written. */
public class Deep {
    private static void told(String path) throws IOException, InterruptedException {
        String frames = StackWalker.getInstance(StackWalker.Option.SHOW_HIDDEN_FRAMES).walk(all -> all
            .skip(1)
            .map(one -> "\"" + one.getClassName() + "." + one.getMethodName() + "\"")
            .collect(Collectors.joining(",")));
        Files.writeString(Path.of(path + ".new"), "[" + frames + "]");
        Files.move(Path.of(path + ".new"), Path.of(path));
        Thread.sleep(1000000);
    }

    private static void first(String path, int left) throws IOException, InterruptedException {
        if (left == 0) {
            told(path);
        } else if (left % 5 < 2) {
            first(path, left - 1);
        } else {
            second(path, left - 1);
        }
    }

    private static void second(String path, int left) throws IOException, InterruptedException {
        first(path, left - 1);
    }

    public static void main(String[] arguments) throws IOException, InterruptedException {
        first(arguments[0], 3000);
    }
}
