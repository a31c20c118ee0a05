package redis

import (
	"strconv"
	"strings"
)

// command is what is known of a command.
type command struct {
	name string // in upper case; that of a subcommand has its container's in oldest
	key  keyRule
	at   int // of firstArgument, afterCount: the index of the argument, the name being 0

	control bool // its arguments have passwords, or change the connection

	answers kinds // what its answer may be, without null and errors; 0 if that is not known
}

// keyRule says where a command has its first key.
type keyRule uint8

const (
	noKey         keyRule = iota
	firstArgument         // the argument at
	afterCount            // behind the argument at, which says how many keys there are
	afterStreams          // behind the word STREAMS, after the argument at
	migrated              // the third argument, or where that is empty, behind the word KEYS
	container             // a subcommand says it
)

// kinds is a set of kinds of answers.
type kinds uint8

const (
	simple    kinds = 1 << iota // a simple string
	integer                     // an integer
	bulk                        // a string, a double, a big number
	aggregate                   // an array, a map, a set
	boolean
)

// The commands whose first key is not their first argument, or whose answer is known.
// A line has how the key is found and what the answer may be, and then the names.
// Commands that are not here have their key, if they have arguments, as the first one.
//
// Keys: "-" there is none; a number: that argument; "n" and a number: behind the argument that
// counts the keys; "streams" and a number, "migrate": see keyRule.
// Answers: s(imple string), i(nteger), b(ulk), a(ggregate); "?" is not known.
const table = `
1 b  GET GETDEL GETEX GETRANGE SUBSTR GETSET LINDEX LMOVE BLMOVE RPOPLPUSH BRPOPLPUSH HGET ZSCORE HINCRBYFLOAT INCRBYFLOAT ZINCRBY DUMP
1 s  MSET SETEX PSETEX HMSET LSET LTRIM RENAME PFMERGE RESTORE TYPE WATCH
1 i  SETNX MSETNX APPEND STRLEN SETRANGE INCR DECR INCRBY DECRBY GETBIT SETBIT BITCOUNT BITPOS DEL UNLINK EXISTS TOUCH EXPIRE PEXPIRE EXPIREAT PEXPIREAT TTL PTTL EXPIRETIME PEXPIRETIME PERSIST RENAMENX MOVE COPY
1 i  LPUSH RPUSH LPUSHX RPUSHX LLEN LREM LINSERT HSET HSETNX HDEL HLEN HEXISTS HINCRBY HSTRLEN SADD SREM SCARD SISMEMBER SMOVE SINTERSTORE SUNIONSTORE SDIFFSTORE
1 i  ZREM ZCARD ZCOUNT ZLEXCOUNT ZREMRANGEBYRANK ZREMRANGEBYSCORE ZREMRANGEBYLEX ZRANGESTORE ZUNIONSTORE ZINTERSTORE ZDIFFSTORE PFADD PFCOUNT XLEN XDEL XTRIM XACK GEOADD GEOSEARCHSTORE
1 i  PUBLISH SPUBLISH
1 a  MGET LRANGE HGETALL HKEYS HVALS HMGET SMEMBERS SINTER SUNION SDIFF SMISMEMBER SSCAN HSCAN ZSCAN ZRANGE ZREVRANGE ZRANGEBYSCORE ZREVRANGEBYSCORE ZRANGEBYLEX ZREVRANGEBYLEX ZMSCORE ZPOPMIN ZPOPMAX BITFIELD BITFIELD_RO XRANGE XREVRANGE XCLAIM XAUTOCLAIM XPENDING GEOPOS GEOHASH GEOSEARCH BLPOP BRPOP BZPOPMIN BZPOPMAX
1 ?  SET ZADD XADD SUBSCRIBE PSUBSCRIBE SSUBSCRIBE UNSUBSCRIBE PUNSUBSCRIBE SUNSUBSCRIBE SORT SORT_RO LPOP RPOP SPOP SRANDMEMBER HRANDFIELD ZRANDMEMBER ZRANK ZREVRANK LPOS LCS GEODIST GEORADIUS GEORADIUS_RO GEORADIUSBYMEMBER GEORADIUSBYMEMBER_RO
2 i  BITOP
2 ?  PFDEBUG
n2 ? EVAL EVALSHA EVAL_RO EVALSHA_RO FCALL FCALL_RO BLMPOP BZMPOP
n1 a ZUNION ZINTER ZDIFF
n1 i SINTERCARD ZINTERCARD
n1 ? LMPOP ZMPOP
streams1 a XREAD
streams4 a XREADGROUP
migrate s MIGRATE

- s  SELECT FLUSHALL FLUSHDB MULTI DISCARD UNWATCH SAVE BGSAVE BGREWRITEAOF SWAPDB READONLY READWRITE ASKING SLAVEOF REPLICAOF FAILOVER
- i  DBSIZE LASTSAVE WAIT
- b  ECHO INFO LOLWUT RANDOMKEY
- a  KEYS SCAN TIME ROLE WAITAOF
- ?  PFSELFTEST PING AUTH HELLO QUIT RESET EXEC MONITOR SYNC PSYNC REPLCONF SHUTDOWN

container ? ACL CLIENT CLUSTER COMMAND CONFIG DEBUG FUNCTION LATENCY MEMORY MODULE OBJECT PUBSUB SCRIPT SENTINEL SLOWLOG XGROUP XINFO
2 i  OBJECT|FREQ OBJECT|IDLETIME OBJECT|REFCOUNT MEMORY|USAGE XGROUP|CREATECONSUMER XGROUP|DELCONSUMER XGROUP|DESTROY
2 b  OBJECT|ENCODING
2 s  XGROUP|CREATE XGROUP|SETID
2 a  XINFO|CONSUMERS XINFO|GROUPS XINFO|STREAM
2 ?  DEBUG|OBJECT
- s  CONFIG|SET CONFIG|RESETSTAT CONFIG|REWRITE CLIENT|SETNAME CLIENT|SETINFO SCRIPT|FLUSH
- ?  CLIENT|REPLY ACL|SETUSER
- i  CLIENT|ID PUBSUB|NUMPAT
- b  CLIENT|LIST CLIENT|INFO SCRIPT|LOAD
- a  CONFIG|GET COMMAND|DOCS SLOWLOG|GET CLUSTER|SLOTS CLUSTER|SHARDS
`

// commands has the commands of table by their names.
var commands = func() map[string]*command {
	all := map[string]*command{}
	for _, line := range strings.Split(table, "\n") {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		rule := command{answers: map[string]kinds{"s": simple, "i": integer, "b": bulk, "a": aggregate}[words[1]]}
		switch word := words[0]; {
		case word == "-":
		case word == "container":
			rule.key, rule.at = container, 1
		case word == "migrate":
			rule.key, rule.at = migrated, 3
		case strings.HasPrefix(word, "streams"):
			rule.key, rule.at = afterStreams, mustNumber(word[len("streams"):])
		case word[0] == 'n':
			rule.key, rule.at = afterCount, mustNumber(word[1:])
		default:
			rule.key, rule.at = firstArgument, mustNumber(word)
		}
		for _, name := range words[2:] {
			c := rule
			c.name = strings.Replace(name, "|", " ", 1)
			switch c.name {
			case "AUTH", "HELLO", "MIGRATE", "CONFIG SET", "ACL SETUSER", "CLIENT REPLY":
				c.control = true
			}
			all[c.name] = &c
		}
	}
	return all
}()

func mustNumber(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic(err) // of a constant
	}
	return n
}

// other is a command that is not in the table: its first argument is a key.
var other = command{key: firstArgument, at: 1}

// plain is a subcommand that is not in the table.
var plain = command{key: noKey}

// upper copies a name to buf in upper case. It returns nil if the name is too long.
func upper(buf *[maxName]byte, name []byte) []byte {
	if len(name) > len(buf) {
		return nil
	}
	for i, c := range name {
		if 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		buf[i] = c
	}
	return buf[:len(name)]
}

// lookup returns what is known of a command, and its name in upper case. known is false
// if it is not in the table.
func lookup(name []byte) (c *command, method string, known bool) {
	var buf [maxName]byte
	up := upper(&buf, name)
	if c, ok := commands[string(up)]; ok {
		return c, c.name, true
	}
	if up == nil {
		up = upper(&buf, name[:maxName])
	}
	return &other, string(up), false
}

// isWord reports whether b looks like the name of a command or of a subcommand.
func isWord(b []byte) bool {
	if len(b) == 0 || len(b) > maxName {
		return false
	}
	for i, c := range b {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z':
		case i > 0 && ('0' <= c && c <= '9' || c == '.' || c == '_' || c == '-'):
		default:
			return false
		}
	}
	return true
}

// subscription returns which of the three sets of subscriptions a command changes: that of
// channels, patterns or shard channels; -1 if none.
func subscription(method string) int {
	switch method {
	case "SUBSCRIBE", "UNSUBSCRIBE":
		return channels
	case "PSUBSCRIBE", "PUNSUBSCRIBE":
		return patterns
	case "SSUBSCRIBE", "SUNSUBSCRIBE":
		return shards
	}
	return -1
}

// The sets of subscriptions.
const (
	channels = iota
	patterns
	shards
)

// subscriptions counts what a connection is subscribed to.
type subscriptions struct {
	Of    [3]int64 // by set
	Total [2]int64 // as the server counts: channels and patterns together, shard channels
}

// active reports whether messages may come.
func (s *subscriptions) active() bool { return s.Total[0] > 0 || s.Total[1] > 0 }

// confirmed counts a confirmation, which has the new total.
func (s *subscriptions) confirmed(method string, total int64) {
	set := subscription(method)
	sum := &s.Total[0]
	if set == shards {
		sum = &s.Total[1]
	}
	s.Of[set] = max(s.Of[set]+total-*sum, 0)
	*sum = max(total, 0)
}
