// Package mysql understands the client/server protocol of MySQL and MariaDB
// (https://dev.mysql.com/doc/dev/mysql-server/latest/PAGE_PROTOCOL.html,
// https://mariadb.com/kb/en/clientserver-protocol/), also compressed by zlib. The
// decoder of package protocol uses it.
//
// Each command of a client is a call. Its method is the command's name without "COM_"
// and "COM_STMT_": QUERY, PREPARE, EXECUTE, CLOSE, PING, INIT_DB, and so on; a login is CONNECT. The
// target is the statement, for commands on a prepared statement the text that was
// prepared, for a login the database. The status is OK, or the number of the first error.
// CLOSE, SEND_LONG_DATA and QUIT are never answered.
//
// The server's greeting belongs to no call, so that the latency of a login is that of the
// server's answer to the password. A login has no latency where the client had to send more in
// between, and neither has a LOAD DATA LOCAL INFILE.
//
// What client and server have agreed on is in the first packets. Where they were not recorded, the shape of
// the others says it. A connection that is compressed by zstd is not understood.
package mysql
