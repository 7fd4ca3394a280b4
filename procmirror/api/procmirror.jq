# Short ways into the views for jq(1), 1.6 or later:
#   jq -L DIRECTORY 'include "procmirror"; limit("NOFILE")' /mnt/proc/1/limits.json
# where DIRECTORY is that of this file.

# The soft limit of a resource, by its name without RLIMIT_; null: unlimited. Of limits.json.
def limit($name): first(.[] | select(.resource == "RLIMIT_" + $name)).soft;

# The value of a variable; nothing without it. Of environ.json.
def env($name): first(.[] | select(.name == $name)).value;

# The counters of an interface. Of net/dev.json.
def iface($name): first(.[] | select(.interface == $name));

# A number of bytes in one word, as in the texts: 0, 512B, 4.0KiB, 1.5GiB.
def human:
  def scaled($units):
    if (. < 1024 and . > -1024) or ($units | length) == 1
    then ((. * 10 | round) / 10 | tostring | if test("[.]") then . else . + ".0" end) + $units[0]
    else . / 1024 | scaled($units[1:]) end;
  if . == null then "-"
  elif . == 0 then "0"
  elif . < 1024 and . > -1024 then "\(.)B"
  else . / 1024 | scaled(["KiB", "MiB", "GiB", "TiB", "PiB"]) end;

# Seconds since the start of a process as the texts have them. Of `elapsed` and the like.
def age:
  def two: floor | tostring | if length == 1 then "0" + . else . end;
  if . == null then "-"
  elif . < 60 then "\(floor)s"
  elif . < 3600 then "\(. / 60 | floor)m\(. % 60 | two)s"
  elif . < 86400 then "\(. / 3600 | floor)h\(. % 3600 / 60 | two)m"
  else "\(. / 86400 | floor)d\(. % 86400 / 3600 | two)h" end;

# Who holds a socket, as `name(pid)`. Of an element of sockets.json.
def holders: [.processes[] | "\(.comm)(\(.pid))"] | join(",");
