import sys,re
name=sys.argv[1]; s=open('/tmp/lean/full.wat').read()
for m in re.finditer(r'\n \(func \$([^\n]*)',s):
    if name in m.group(1):
        e=s.find('\n )\n',m.start()); print(s[m.start():e+4]); break
