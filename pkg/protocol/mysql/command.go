package mysql

// command is the first byte of a command.
type command uint8

// The commands of which more than the name matters.
const (
	unknown            command = 0 // COM_SLEEP is never sent
	comQuit            command = 0x01
	comInitDB          command = 0x02
	comQuery           command = 0x03
	comFieldList       command = 0x04
	comCreateDB        command = 0x05
	comDropDB          command = 0x06
	comStatistics      command = 0x09
	comProcessInfo     command = 0x0a
	comProcessKill     command = 0x0c
	comPing            command = 0x0e
	comChangeUser      command = 0x11
	comBinlogDump      command = 0x12
	comTableDump       command = 0x13
	comPrepare         command = 0x16
	comExecute         command = 0x17
	comLongData        command = 0x18
	comClose           command = 0x19
	comReset           command = 0x1a
	comFetch           command = 0x1c
	comBinlogDumpGTID  command = 0x1e
	comResetConnection command = 0x1f
	comBulkExecute     command = 0xfa
)

var names = map[command]string{
	comQuit: "QUIT", comInitDB: "INIT_DB", comQuery: "QUERY", comFieldList: "FIELD_LIST", comCreateDB: "CREATE_DB", comDropDB: "DROP_DB",
	0x07: "REFRESH", 0x08: "SHUTDOWN", comStatistics: "STATISTICS", comProcessInfo: "PROCESS_INFO", comProcessKill: "PROCESS_KILL",
	0x0d: "DEBUG", comPing: "PING", comChangeUser: "CHANGE_USER", comBinlogDump: "BINLOG_DUMP", comTableDump: "TABLE_DUMP",
	0x15: "REGISTER_SLAVE", comPrepare: "PREPARE", comExecute: "EXECUTE", comLongData: "SEND_LONG_DATA", comClose: "CLOSE", comReset: "RESET",
	0x1b: "SET_OPTION", comFetch: "FETCH", comBinlogDumpGTID: "BINLOG_DUMP_GTID", comResetConnection: "RESET_CONNECTION",
	0x20: "CLONE", comBulkExecute: "BULK_EXECUTE",
}

// answered reports whether the server answers a command.
func (c command) answered() bool { return c != comQuit && c != comLongData && c != comClose }

// onStatement reports whether a command begins with the number of a prepared statement.
func (c command) onStatement() bool {
	switch c {
	case comExecute, comBulkExecute, comLongData, comClose, comReset, comFetch:
		return true
	}
	return false
}
