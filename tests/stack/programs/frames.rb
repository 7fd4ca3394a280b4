# Blocked in several ways of Ruby; the program writes what Ruby itself says of its threads.
require "json"

class Outer
  def deep(depth)
    return deep(depth - 1) if depth > 0

    [3, 1].each do |_|
      sleep 1000
    end
  end

  def self.klass
    [1].map { |_| new.deep(3) }
  end

  define_method(:defined) do
    begin
      raise ArgumentError
    rescue ArgumentError
      Queue.new.pop
    end
  end
end

LONG = eval("proc { " + ("x = 1; x += 1\n" * 400) + " sleep 1000 }", binding, "long\n\e[31m.rb", 7)

def evaluated
  eval("1.times {\n\n sleep 1000 }", binding, "some(eval)", 40)
end

# Since Ruby 3.1; before, each thread asks the kernel (gettid(2) of x86_64).
NUMBERED = Thread.method_defined?(:native_thread_id)
started = [
  -> { Outer.klass }, -> { Outer.new.defined }, -> { evaluated }, -> { LONG.call },
  -> { Fiber.new { [2, 1].sort_by { |_| sleep 1000 } }.resume },
  -> { IO.pipe[0].read },
].map { |each| NUMBERED ? Thread.new(&each) : Thread.new { Thread.current.thread_variable_set(:tid, syscall(186)); each.call } }
sleep 0.01 until started.all? { |thread| thread.status == "sleep" }
told = started.to_h do |thread|
  [NUMBERED ? thread.native_thread_id : thread.thread_variable_get(:tid), thread.backtrace_locations.map { |at| [at.label, at.path, at.lineno] }]
end
File.write(ARGV[0] + ".new", JSON.dump(told))
File.rename(ARGV[0] + ".new", ARGV[0])
sleep 1000
