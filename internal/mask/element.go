package mask

import "strings"

// maxTag bounds an element's tag, bytes.
const maxTag = 4 << 10

// element finds the secrets of the XML element whose tag begins at i: in its text when
// it has a secret's name, <password>x</password>, or says so, <entry key="password">;
// and in attributes beside such a name, <property name="password" value="x"/>. What it
// finds is masked when the scanner comes there. Attributes with a secret's name are
// assignments.
func (sc *scanner) element(i int) {
	s := sc.s
	at := i + 1
	for at < len(s) && (isDotted(s[at]) || s[at] == ':') {
		at++
	}
	if at == i+1 || at == len(s) || !isLetter(s[i+1]) && s[i+1] != '_' {
		return
	}
	name := s[i+1 : at]
	if colon := strings.LastIndexByte(name, ':'); colon >= 0 {
		name = name[colon+1:]
	}
	c := sc.m.class(name)
	var values []span
	pair := plain
	most := min(len(s), i+maxTag)
	for at < most && s[at] != '>' && s[at] != '<' {
		if !isLetter(s[at]) {
			at++
			continue
		}
		begin := at
		for at < most && (isDotted(s[at]) || s[at] == ':') {
			at++
		}
		attribute := strings.ToLower(s[begin:at])
		for at < most && s[at] <= ' ' {
			at++
		}
		if at >= most || s[at] != '=' {
			continue
		}
		at++
		for at < most && s[at] <= ' ' {
			at++
		}
		if at >= most || s[at] != '"' && s[at] != '\'' {
			continue
		}
		end := strings.IndexByte(s[at+1:most], s[at])
		if end < 0 {
			return
		}
		value := span{at + 1, at + 1 + end}
		at = value.to + 1
		switch {
		case nameFields[attribute]:
			pair = max(pair, sc.m.class(s[value.from:value.to]))
		case valueFields[attribute]:
			values = append(values, value)
		}
	}
	if at >= most || s[at] != '>' {
		return
	}
	if pair == weak || pair.isSecret() {
		for _, v := range values {
			sc.mayMask(v, pair)
		}
	}
	if pair == plain && (nameFields[strings.ToLower(name)] || name == "string" || strings.HasSuffix(name, "-name")) {
		sc.propertyList(name, at+1)
	}
	if c = max(c, pair); c != weak && !c.isSecret() || s[at-1] == '/' {
		return
	}
	end := strings.Index(s[at+1:], "<")
	if end < 0 {
		return
	}
	content := span{at + 1, at + 1 + end}
	if rest := s[content.to:]; end == 0 && strings.HasPrefix(rest, "<![CDATA[") {
		stop := strings.Index(rest, "]]>")
		if stop < 0 {
			stop = len(rest)
		}
		content = span{content.to + len("<![CDATA["), content.to + stop}
	} else if !strings.HasPrefix(rest, "</") && strings.TrimSpace(s[content.from:content.to]) == "" {
		if pair != plain && strings.HasPrefix(rest, "<value>") { // <property name="password"><value>x</value>
			sc.nested(content.to, pair)
		}
		return // elements, which have names of their own
	}
	sc.mayMask(content, c)
}

// nested masks the text of the element whose tag begins at i.
func (sc *scanner) nested(i int, c class) {
	s := sc.s
	from := strings.IndexByte(s[i:min(len(s), i+maxTag)], '>')
	if from < 0 {
		return
	}
	from += i + 1
	if n := strings.IndexByte(s[from:], '<'); n >= 0 {
		sc.mayMask(span{from, from + n}, c)
	}
}

// propertyList masks the element behind <key>password</key>, <name>password</name> and the
// like, whose text begins at i and whose own name is tag.
func (sc *scanner) propertyList(tag string, i int) {
	s := sc.s
	name, _, ok := strings.Cut(s[i:min(len(s), i+maxName)], "</")
	if !ok {
		return
	}
	c := sc.m.class(strings.TrimSpace(name))
	next := i + len(name)
	end := strings.IndexByte(s[next:min(len(s), next+maxName)], '>')
	if c != weak && !c.isSecret() || end < 0 || !strings.HasSuffix(s[next:next+end], tag) {
		return
	}
	next += end + 1
	for next < len(s) && s[next] <= ' ' {
		next++
	}
	if next+1 >= len(s) || s[next] != '<' || !isLetter(s[next+1]) {
		return
	}
	end = next + 1
	for end < len(s) && (isDotted(s[end]) || s[end] == ':') {
		end++
	}
	if of := strings.ToLower(s[next+1 : end]); tag == "key" || of == tag || valueFields[of] || strings.HasSuffix(of, "value") {
		sc.nested(next, c)
	}
}

// mayMask masks a part of the text further on, unless it is to be shown.
func (sc *scanner) mayMask(v span, c class) {
	for v.from < v.to && sc.s[v.from] <= ' ' {
		v.from++
	}
	for v.from < v.to && sc.s[v.to-1] <= ' ' {
		v.to--
	}
	if text := sc.s[v.from:v.to]; shown(text) || c == weak && !weakSecret(text) {
		return
	}
	sc.ahead = append(sc.ahead, v)
}
