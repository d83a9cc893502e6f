package replay

import (
	"embed"
	"fmt"
	"maps"
	"path"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

//go:embed testdata
var testdata embed.FS

// exchange is what a file in testdata tells: who said what in which order.
//
//	# text         a comment
//	source TEXT    where the frames are known from
//	world K=V ...  how the broker is set up; see newWorld
//	let K=V        %K stands for V in what follows
//	use NAME K=V   the lines of testdata/parts/NAME.txt, with more such words; on=b plays them on connection b;
//	               K=`V` may hold spaces
//	for I in 1..9 use ...
//	clock TIME     the service's time when the following happens
//	publish P ...  an event, as message sections, that is in partition P already
//	delete-group G an administrator's deed
//	> FRAME        what the client sends; b> on its connection b, >@2 on channel 2
//	< FRAME        what the service was recorded to answer
//
// A line that begins with a space continues the one before. All frames that clients send up to the service's next one go out in one burst;
// then everything that comes back has to be what stands there, up to the client's next frame. The service's frame comes at once or, where
// it was recorded to come later, after=DURATION from the burst.
type exchange struct {
	source string
	world  map[string]string
	steps  []step
}

type step struct {
	where string
	conn  string
	verb  string // ">" or "<" or the directive
	words string // of a directive
	frame *frame // of > and <
}

// loader reads one exchange.
type loader struct {
	t  testing.TB
	ex *exchange
}

func loadExchange(t testing.TB, file string) *exchange {
	t.Helper()
	l := loader{t: t, ex: &exchange{world: map[string]string{}}}
	l.read(file, "", map[string]string{
		"host": host, "hub": hubName, "audience": "sb://" + host + "/" + hubName, "token": "valid",
		"container": "EHProducer-2f54bb51-59d1-43a4-97ed-3da4b6f08f4e-partition0", "idle": "null",
	})
	if l.ex.source == "" {
		t.Errorf("%s: no line says the source", file)
	}
	return l.ex
}

// line is a logical line: those that continue it are part of it.
type line struct {
	where string
	text  string
}

func (l *loader) lines(file string) (list []line) {
	l.t.Helper()
	b, err := testdata.ReadFile(file)
	if err != nil {
		l.t.Fatal(err)
	}
	for i, s := range strings.Split(string(b), "\n") {
		switch {
		case strings.TrimSpace(s) == "" || s[0] == '#': // says nothing
		case s[0] == ' ':
			list[len(list)-1].text += " " + strings.TrimSpace(s)
		default:
			list = append(list, line{fmt.Sprintf("%s:%d", file, i+1), strings.TrimSpace(s)})
		}
	}
	return list
}

// read takes a file's lines as steps. Frames are counted within the file, kind by kind and connection by connection.
func (l *loader) read(file, conn string, vars map[string]string) {
	counts := map[string]int{}
	for _, ln := range l.lines(file) {
		verb, words, _ := strings.Cut(substitute(ln.text, vars), " ")
		switch verb {
		case "source":
			l.ex.source = words
		case "world":
			maps.Copy(l.ex.world, pairsOf(words))
		case "let":
			maps.Copy(vars, pairsOf(words))
		case "for":
			l.repeat(ln, words, conn, vars)
		case "use":
			l.use(words, conn, vars)
		case "clock", "publish", "delete-group":
			l.ex.steps = append(l.ex.steps, step{where: ln.where, verb: verb, words: words})
		default:
			l.frame(ln, file, conn, substitute(ln.text, vars), counts)
		}
	}
}

var variable = regexp.MustCompile(`%[a-z]+`)

func substitute(s string, vars map[string]string) string {
	return variable.ReplaceAllStringFunc(s, func(name string) string {
		if v, ok := vars[name[1:]]; ok {
			return v
		}
		return name
	})
}

var pair = regexp.MustCompile("([a-z-]+)=(?:`([^`]*)`|(\\S*))")

func pairsOf(words string) map[string]string {
	m := map[string]string{}
	for _, w := range pair.FindAllStringSubmatch(words, -1) {
		m[w[1]] = w[2] + w[3]
	}
	return m
}

func (l *loader) use(words, conn string, vars map[string]string) {
	name, more, _ := strings.Cut(words, " ")
	inner := maps.Clone(vars)
	maps.Copy(inner, pairsOf(more))
	if on, ok := inner["on"]; ok {
		conn = on
	}
	delete(inner, "on")
	l.read("testdata/parts/"+name+".txt", conn, inner)
}

var loop = regexp.MustCompile(`^([a-z]+) in (\d+)\.\.(\d+) use (.*)$`)

func (l *loader) repeat(ln line, words, conn string, vars map[string]string) {
	m := loop.FindStringSubmatch(words)
	if m == nil {
		l.t.Fatalf("%s: want: for NAME in 1..9 use PART", ln.where)
	}
	first, _ := strconv.Atoi(m[2])
	last, _ := strconv.Atoi(m[3])
	for i := first; i <= last; i++ {
		inner := maps.Clone(vars)
		inner[m[1]] = strconv.Itoa(i)
		l.use(substitute(m[4], inner), conn, inner)
	}
}

var frameLine = regexp.MustCompile(`^([a-z]*)([<>])(?:@(\d+))? +(.*)$`)

func (l *loader) frame(ln line, file, conn, text string, counts map[string]int) {
	m := frameLine.FindStringSubmatch(text)
	if m == nil {
		l.t.Fatalf("%s: cannot read %q", ln.where, text)
	}
	if m[1] != "" {
		conn = m[1]
	}
	f := parseFrame(l.t, ln.where, m[4])
	f.file = strings.TrimSuffix(path.Base(file), ".txt")
	l.number(f, m[2], m[3])
	key := strings.TrimSpace(m[1] + " " + f.kind())
	if m[2] == "<" {
		l.checkSize(f)
	} else {
		key = "client's " + key
	}
	counts[key]++
	f.key = fmt.Sprintf("%s %d", key, counts[key])
	l.ex.steps = append(l.ex.steps, step{where: ln.where, conn: conn, verb: m[2], frame: f})
}

// number gives the frame its channel: the client's sessions were recorded on channel 1, the service's on 0.
func (l *loader) number(f *frame, direction, channel string) {
	switch k := f.kind(); {
	case channel != "":
		n, _ := strconv.Atoi(channel)
		f.channel = uint16(n)
	case direction == ">" && k != "open" && k != "close" && k != "empty" && f.typ == frameAMQP:
		f.channel = 1
	}
}

// checkSize sees that the frame as written down here has the size that was recorded: a check on the table itself.
func (l *loader) checkSize(f *frame) {
	written := len(f.encode()) + len(f.encodeMessage())
	if f.piece > 0 {
		written = len(f.encode()) + f.piece
	}
	if f.size > 0 && written != f.size {
		l.t.Errorf("%s: the frame as written has %d bytes, recorded are %d: %v", f.where, written, f.size, f)
	}
}
