package persistence

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"mosn.io/tcpcopy/internal/clock"
	"mosn.io/tcpcopy/internal/safedir"
	"mosn.io/tcpcopy/pkg/dump/layout"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence/internal/buffer"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence/internal/logdir"
	"mosn.io/tcpcopy/pkg/record"
)

// Host is what a store needs of the process that it runs in.
type Host struct {
	// Run is the process's part of connection identities and file names.
	Run string
	// Effective and Static are the configuration that is in force and the one that the
	// process was started with; nil means there is none. They are read after each window,
	// in a goroutine of their own, and may be slow.
	Effective, Static *Source
	// Clock gives the time of file names, rolling and retries; nil means the system's.
	Clock clock.Clock
	// Gate has the ring that the bytes of the connections go to, nil when nobody wants them.
	// The store writes it, and so do other stores of the process. nil means one of the
	// store's own.
	Gate *atomic.Pointer[Ring]
	// Room returns the Room of a window that is about to be opened: the zero Window for a
	// live stream, and nil for a recovery, which has to be done whatever the load. A nil
	// function means that there are no limits.
	Room func(w *record.Window) Room
	// Alert reports a fault that an operator should know, Info its end. Both may be
	// nil.
	Alert func(what string, err error)
	Info  func(format string, args ...any)
	// Panicked reports a panic of the store that was caught: where is the goroutine
	// or step, one of few. It is called for each, from any goroutine, and such a
	// panic is no alert. nil means Alert.
	Panicked func(where string, value any, stack []byte)
	// FieldNames are what alerts call the fields of Config, such as MaxTotal; a field
	// that is not in it has its own name.
	FieldNames map[string]string
}

// fieldName returns what alerts call a field of Config.
func (h *Host) fieldName(field string) string {
	if name := h.FieldNames[field]; name != "" {
		return name
	}
	return field
}

// Store writes the dump directory: a Session for each window, the portraits, the
// snapshots of configurations and the index. One window is open at a time.
type Store struct {
	config Config
	host   Host

	dir       *logdir.Dir
	flowLog   *logdir.AppendLog
	portraits *logdir.AppendLog
	snapshots *snapshotter
	calls     *callCounts // nil when calls are not counted

	unindexed *unindexed

	alerting   sync.Mutex
	alerted    map[string]time.Time    // when there was an alert of that kind; guarded by alerting
	faults     atomic.Uint64           // alerts
	live       atomic.Pointer[[]*Live] // replaced under mu, never changed
	liveLost   atomic.Uint64           // bytes of payload that live streams have missed
	noPortrait atomic.Uint64           // portraits that there was no room for, or that could not be written
	noIndex    atomic.Uint64           // lines that the index will never have
	noRoom     atomic.Uint64           // windows refused because their memory did not fit
	reduced    atomic.Uint64           // windows with a smaller buffer than the configured one
	recovering sync.WaitGroup          // Open's goroutine
	living     sync.WaitGroup          // goroutines of live-only windows and their ring

	sharedRings atomic.Uint64 // rings of live-only windows so far

	mu       sync.Mutex    // guards the rest
	changed  *sync.Cond    // of mu: a window is open, or has ended, or the rings have changed
	lives    []*LiveWindow // that are not written
	shared   *Flight       // the ring of live-only windows, see OpenLive; nil for none
	session  *Session      // the open window
	flight   *Flight       // nil without the flight recorder
	captures []*Session    // that are open
	opening  string        // ID of the window whose session is being made; "" when none is
	windows  uint64        // finished
	totals   buffer.Tally  // of finished windows
	sealed   bool          // no window is opened any more
	closed   bool
}

// Open prepares a store. The directory is created; the files appear when there
// is something to write.
//
// What killed processes have left is recovered in the background; a window waits
// for that.
func Open(config Config, host Host) (*Store, error) {
	s, err := open(config, host)
	if err != nil {
		return nil, err
	}
	s.recovering.Add(1)
	go s.recoverLeft()
	return s, nil
}

// recoverLeft is a goroutine of Open's, for which OpenWindow and Close wait.
func (s *Store) recoverLeft() {
	defer s.recovering.Done()
	defer catchPanic(s.alert, "the recovery of what a killed process has left")
	all, err := Recover(s.config, s.host)
	if err != nil {
		s.alert("recover", err)
	}
	all = append(all, sweepSpools(s.config.spoolDir(0), s.config, s.host)...)
	var faults []error // in one alert: others of its kind would be silent
	for _, r := range all {
		if r.Err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", r.Spool, r.Err))
			continue
		}
		s.info("recovered window %s of run %s: %d bytes in, %d bytes out", r.Window.Window, r.Window.Run, r.Window.Written.In, r.Window.Written.Out)
	}
	if err := errors.Join(faults...); err != nil {
		s.alert("recover", err)
	}
}

// open is Open without the recovery.
func open(config Config, host Host) (*Store, error) {
	if err := errors.Join(config.Validate()...); err != nil {
		return nil, err
	}
	s := &Store{config: config, host: host, alerted: map[string]time.Time{}}
	s.unindexed = &unindexed{store: s}
	s.changed = sync.NewCond(&s.mu)
	if s.host.Gate == nil {
		s.host.Gate = &atomic.Pointer[Ring]{}
	}
	if s.host.Clock == nil {
		s.host.Clock = clock.System()
	}
	s.dir = logdir.Open(logdir.Options{
		Path:      config.Dir,
		Run:       host.Run,
		MaxTotal:  config.MaxTotal,
		LimitName: host.fieldName("MaxTotal"),
		Clock:     s.host.Clock,
		Alert:     s.alert,
		Info:      s.info,
		Panicked:  host.Panicked,
	})
	if err := s.prepareDir(); err != nil {
		s.dir.Close()
		return nil, err
	}
	roll := config.rolling()
	s.flowLog = s.dir.Log(layout.FlowLog, roll)
	s.portraits = s.dir.Log(layout.PortraitLog, roll)
	s.snapshots = newSnapshotter(s, s.dir.Log(layout.EffectiveConfigs, roll), s.dir.Log(layout.StaticConfigs, roll))
	if config.Calls {
		s.calls = newCallCounts(s)
	}
	return s, nil
}

// prepareDir creates the dump directory. It reports one that cannot be it as a fault
// of the configuration.
func (s *Store) prepareDir() error {
	err := s.dir.Folder().Prepare()
	var unfit *safedir.UnfitError
	if !errors.As(err, &unfit) {
		return err
	}
	return errors.Join(&model.FieldError{Field: "Dir", Value: s.config.Dir, Valid: unfit.Valid}, unfit.Err)
}

// Config returns what the store was opened with.
func (s *Store) Config() Config { return s.config }

// OpenWindow begins the session of a window. It may take as long as the disk
// does.
func (s *Store) OpenWindow(w record.Window) (*Session, error) {
	if err := s.beginOpening(w.ID); err != nil {
		return nil, err
	}
	var session *Session
	hangs := s.watchHangs(w.ID)
	defer func() {
		if session == nil {
			hangs.end()
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.opening, s.session = "", session
		s.changed.Broadcast()
	}()
	begun := time.Now()
	s.recovering.Wait()
	opened, err := s.newSession(w)
	if err != nil {
		return nil, err
	}
	session = opened
	session.begun, session.hangs = begun, hangs
	hangs.opened(session.readers) // none yet, where others read the ring too: Start comes later
	return session, nil
}

// newSession returns the session of a window: it reads the ring in force, or one of its own.
func (s *Store) newSession(w record.Window) (*Session, error) {
	for {
		s.mu.Lock()
		f := s.flight
		if f == nil && s.shared != nil && !s.shared.isOver() {
			f = s.shared
		}
		s.mu.Unlock()
		if f == nil {
			return startSession(s, w)
		}
		session, err := f.newSession(w, Scope{}, true)
		if !errors.Is(err, errRingOver) {
			return session, err
		}
		s.awaitReplaced(f)
	}
}

func (s *Store) beginOpening(window string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.sealed:
		return errors.New("the store is closed")
	case s.session != nil:
		return fmt.Errorf("window %s is open", s.session.window.ID)
	case s.opening != "":
		return fmt.Errorf("window %s is being opened", s.opening)
	}
	s.opening = window
	return nil
}

// Seal sees to it that no further window is opened. It returns the ID of the one
// that is open or being opened, "" when there is none: that one goes on.
func (s *Store) Seal() (window string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sealed = true
	s.changed.Broadcast()
	if s.session != nil {
		return s.session.window.ID
	}
	return s.opening
}

// finish ends what the store has of a session whose workers are done. It reports whether
// the window's line is in the index; if it is not, the session's spool may be kept.
func (s *Store) finish(session *Session, closed time.Time, recovered bool) (line layout.WindowLine, written bool) {
	accounts := session.Accounts()
	recorded := accounts.Written != (record.PerDirection{}) || session.portraitLog.HasNames()
	var segments logdir.FileNames
	if session.segments != nil {
		segments = session.segments.Finish(closed)
	}
	session.hangs.step()
	files, leftOut := append([]string{}, segments.Names...), segments.LeftOut
	for _, log := range session.appenders() {
		names := log.Close()
		files, leftOut = append(files, names.Names...), leftOut+names.LeftOut
	}
	removed := s.dir.Missing(files)
	if recorded { // the snapshots come later, and their files may not be there yet
		files = append(files, s.snapshots.names()...)
	}
	ports, portsLeftOut := session.contents.ports()
	line = layout.WindowLine{
		Window:   session.window.ID,
		Trigger:  session.window.Trigger,
		Opened:   session.window.Opened,
		Closed:   closed,
		Run:      s.host.Run,
		Ports:    ports,
		Accounts: accounts,
		Files:    files,
		Removed:  removed,

		Guard:     session.window.GuardWord(),
		Recovered: recovered,

		Cause:         session.window.Cause,
		AskedBeforeMS: session.window.AskedBeforeMS(),

		PortsLeftOut: portsLeftOut,
		FilesLeftOut: leftOut,
	}
	line.Shorten(s.dir.Index().MaxLine())
	written = s.unindexed.add(line.AppendJSON(nil), session.ownSpool(), recovered)
	if recorded {
		s.snapshots.add(session.window.ID)
	}
	if s.calls != nil && accounts.Written != (record.PerDirection{}) {
		s.calls.add(line)
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	s.removeLocked(session)
	s.windows++
	t := session.total()
	s.totals.Add(&t)
	return line, written
}

// removeLocked says that a session is not open any more.
func (s *Store) removeLocked(session *Session) {
	if s.session == session {
		s.session = nil
	}
	s.captures = slices.DeleteFunc(s.captures, func(o *Session) bool { return o == session })
}

// forget ends what the store has of a session that is discarded.
func (s *Store) forget(session *Session) {
	for _, log := range session.appenders() {
		log.Close()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.removeLocked(session)
}

// WriteSkips appends a line for each of the skips to the index. They are about this
// process. It may be called from any goroutine, and may take as long as the disk does.
func (s *Store) WriteSkips(skips []record.Skip) error {
	var lines []byte
	for _, skip := range skips {
		line := layout.SkipLine{Skip: skip, Run: s.host.Run}
		lines = line.AppendJSON(lines)
	}
	if err := s.dir.Index().Append(lines); err != nil {
		s.alert("index", err)
		return err
	}
	return nil
}

// OpenCapture is a capture that is open.
type OpenCapture struct {
	Window   record.Window
	Accounts record.Accounts // up to now
}

// Stats is what a store has done up to now.
type Stats struct {
	Windows  uint64          // finished
	Accounts record.Accounts // of all windows, the open one included
	Window   *record.Accounts
	Captures []OpenCapture // that are open
	Lives    []OpenCapture // live-only windows that are open
	Buffered int64         // bytes of the batches in use
	Buffer   int64         // bytes of the open window's buffer, 0 without one
	NoRoom   uint64        // windows refused because their memory did not fit
	Reduced  uint64        // windows with a smaller buffer than the configured one
	Faults   uint64        // alerts raised
	Live     int           // live streams
	LiveLost uint64        // bytes of payload that they have missed, of those that have ended too

	PortraitsLost uint64 // that there was no room for, or that could not be written
	IndexLost     uint64 // lines that the index will never have
}

// Stats returns a consistent picture of one moment.
func (s *Store) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.totals
	stats := Stats{Windows: s.windows, Faults: s.faults.Load(), Live: len(s.subscribers()) + s.livesLocked(), LiveLost: s.liveLost.Load(), PortraitsLost: s.noPortrait.Load(), IndexLost: s.noIndex.Load(), NoRoom: s.noRoom.Load(), Reduced: s.reduced.Load()}
	for _, c := range s.captures {
		open, total := c.tally(), c.total()
		t.Add(&total)
		stats.Captures = append(stats.Captures, OpenCapture{Window: c.window, Accounts: open.Accounts()})
	}
	for _, l := range s.lives {
		open, total := l.tallyLocked(), l.totalLocked()
		t.Add(&total)
		if !l.ended {
			stats.Lives = append(stats.Lives, OpenCapture{Window: l.window, Accounts: open.Accounts()})
		}
	}
	if s.shared != nil && s.session == nil {
		stats.Buffered, stats.Buffer = s.shared.used(), s.shared.buffer
	}
	if s.session != nil {
		open, total := s.session.tally(), s.session.total()
		accounts := open.Accounts()
		stats.Window = &accounts
		stats.Buffered, stats.Buffer = s.session.ring.used(), s.session.ring.buffer
		t.Add(&total)
	}
	stats.Accounts = t.Accounts()
	return stats
}

// Close waits for what runs in the background and closes the files. The session
// must have been closed. It is idempotent.
func (s *Store) Close() {
	s.mu.Lock()
	s.sealed, s.closed = true, true
	s.changed.Broadcast()
	s.mu.Unlock()
	s.EndLives()
	s.living.Wait()
	s.unindexed.close()
	for _, l := range s.subscribers() {
		l.finish()
	}
	s.snapshots.close()
	if s.calls != nil {
		s.calls.close()
	}
	s.recovering.Wait()
	s.dir.Close()
}

// alertPause is how long alerts of one kind keep silent after one: a fault of the
// disk shows in many places at once.
const alertPause = 10 * time.Second

// alert reports a fault of that kind to the host, and counts it unless it is a panic
// that the host counts.
func (s *Store) alert(what string, err error) {
	if s.reportPanic(err) {
		return
	}
	s.faults.Add(1)
	s.alerting.Lock()
	now := s.host.Clock.Now()
	last, known := s.alerted[what]
	silent := known && now.Sub(last) < alertPause && !now.Before(last)
	if !silent {
		s.alerted[what] = now
	}
	s.alerting.Unlock()
	if s.host.Alert != nil && !silent {
		s.host.Alert(what, err)
	}
}

func (s *Store) info(format string, args ...any) {
	if s.host.Info != nil {
		s.host.Info(format, args...)
	}
}
