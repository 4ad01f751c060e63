"""The style of the page "Your sessions"."""

STYLE = """
:root{color-scheme:light dark;--paper:#f5f6f7;--card:#fff;--ink:#191c20;--soft:#5a626c;--line:#e3e6ea;--accent:#1d5fc4;
--wash:#eef1f4;--field:#8b939d;--danger:#b3261e;--danger-wash:#fcf0ee;--good:#1c7a45;--good-wash:#e6f3eb}
@media(prefers-color-scheme:dark){:root{--paper:#131518;--card:#1b1e23;--ink:#eceef1;--soft:#a4acb7;--line:#2d323a;
--accent:#8ab4f8;--wash:#262a31;--field:#6d7682;--danger:#f2a19a;--danger-wash:#33201f;--good:#7fd1a0;--good-wash:#1a2e22}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--paper);color:var(--ink);
font:1rem/1.5 Inter,system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif}
main{max-width:43rem;margin:0 auto;padding:clamp(1.75rem,6vw,4rem) 1.125rem 4rem}
h1{margin:0;font-size:clamp(1.625rem,1.3rem + 1.6vw,2.125rem);line-height:1.2;letter-spacing:-.018em}
h2{margin:2.25rem 0 .625rem;font-size:.9375rem;font-weight:600;color:var(--soft)}
h3{margin:0;font-size:1.0625rem;font-weight:600;line-height:1.35;overflow-wrap:anywhere}
p{margin:0}
ul{margin:0;padding:0;list-style:none}
a{color:var(--accent);text-underline-offset:.2em}
.lead{margin-top:.5rem;max-width:34rem;color:var(--soft);text-wrap:pretty}
.note{display:flex;gap:.625rem;margin-top:1.25rem;padding:.75rem 1rem;border-radius:.625rem;background:var(--good-wash);
color:var(--good);font-weight:500}
.panel{border:1px solid var(--line);border-radius:.875rem;background:var(--card)}
.session{display:grid;grid-template-columns:2.75rem minmax(0,1fr) auto;gap:0 .875rem;padding:1rem 1.125rem .75rem}
.session>*{grid-column:2/-1}
.session+.session{border-top:1px solid var(--line)}
.session>.icon{grid-area:1/1/4/2}
.session>h3{grid-area:1/2;align-self:center}
.session>.end{grid-area:1/3;min-height:2.25rem}
.icon{display:grid;place-items:center;width:2.75rem;height:2.75rem;border-radius:.75rem;background:var(--wash);
color:var(--soft)}
.here .icon{background:var(--good-wash);color:var(--good)}
.meta{display:flex;flex-wrap:wrap;column-gap:1.125rem;overflow:hidden;color:var(--soft);font-size:.875rem;overflow-wrap:anywhere}
.meta span{position:relative}
.meta span+span:before{content:"·";position:absolute;left:-.6875rem}
.meta b{color:var(--good);font-weight:600}
.tag{justify-self:start;margin-top:.375rem;padding:.0625rem .5rem;border-radius:1rem;background:var(--danger-wash);
color:var(--danger);font-size:.8125rem;font-weight:600}
button,.button{display:inline-block;min-height:2.25rem;padding:.375rem .875rem;border:1px solid var(--line);
border-radius:.5rem;background:var(--card);color:var(--ink);font:inherit;font-size:.9375rem;font-weight:500;
line-height:1.375rem;text-decoration:none;cursor:pointer}
button:hover,.button:hover{background:var(--wash)}
.danger,.end button:hover{color:var(--danger)}
.danger:hover,.end button:hover{background:var(--danger-wash);border-color:var(--danger)}
details{margin-top:.125rem;font-size:.875rem}
summary{display:inline-block;padding:.25rem 0;color:var(--accent);cursor:pointer;list-style:none}
summary::-webkit-details-marker{display:none}
summary:hover{text-decoration:underline;text-underline-offset:.2em}
.name{display:flex;flex-wrap:wrap;align-items:end;gap:.5rem;padding:.375rem 0 .25rem}
.name label{flex:1 1 11rem;color:var(--soft)}
.name input{display:block;width:100%;min-height:2.25rem;margin-top:.125rem;padding:.375rem .625rem;
border:1px solid var(--field);border-radius:.5rem;background:var(--card);color:var(--ink);font:inherit;font-size:1rem}
.all{display:flex;flex-wrap:wrap;align-items:center;gap:.625rem 1rem;margin-top:1.125rem}
.all p,.none{color:var(--soft);font-size:.875rem}
.none{padding:1.125rem}
.none+.end{padding:0 1.125rem 1.125rem}
.next{display:flex;flex-wrap:wrap;gap:.625rem;margin-top:1.5rem}
:focus-visible{outline:3px solid var(--accent);outline-offset:2px;border-radius:.5rem}
.unseen{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
@media(forced-colors:active){.icon{border:1px solid}}
"""
