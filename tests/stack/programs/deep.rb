# A deep recursion, once through a function of C; what Ruby says of it is written.
require "json"

DEPTH = 3000

def told
  frames = caller_locations.map { |one| "#{one.label}:#{one.lineno}" }
  File.write(ARGV[0] + ".new", JSON.dump(frames))
  File.rename(ARGV[0] + ".new", ARGV[0])
  sleep
end

def first(left)
  return told if left == 0
  return [left - 1].each { |one| second(one) } if left == DEPTH / 2
  return first(left - 1) if left % 5 < 2
  second(left - 1)
end

def second(left)
  first(left - 1)
end

first(DEPTH)
