"""The page's style sheet; every colour is a variable of ``colours.PALETTE``."""

STYLE = """
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;scroll-behavior:smooth;scroll-padding-top:1.5rem}
@media (prefers-reduced-motion:reduce){html{scroll-behavior:auto}}
body{margin:0;background:var(--paper);color:var(--ink);overflow-wrap:break-word;
  font:400 16px/1.6 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;
  -webkit-font-smoothing:antialiased;font-variant-numeric:tabular-nums}
.top,main,footer{max-width:62rem;margin:0 auto;padding:0 2rem}
.top{display:flex;align-items:center;justify-content:space-between;padding-top:1.5rem;min-height:4rem}
.brand{font-size:.875rem;font-weight:600;color:var(--muted);letter-spacing:.01em}
button{font:inherit;font-size:.8125rem;line-height:1;font-weight:600;color:var(--muted);background:var(--surface);cursor:pointer;
  border:1px solid var(--hairline);border-radius:999px;padding:.55rem .9rem}
button:hover{color:var(--ink);border-color:var(--muted)}
[hidden]{display:none!important}
:focus-visible{outline:2px solid var(--accent);outline-offset:2px}
a{color:var(--accent);text-underline-offset:.2em}
.skip{position:absolute;left:-999rem}
.skip:focus{left:1rem;top:1rem;background:var(--surface);padding:.5rem 1rem;z-index:9}

.hero{padding:2.5rem 0 1rem}
.verdict{display:flex;align-items:center;gap:1.125rem;margin:0;font-size:3.25rem;line-height:1.05;font-weight:680;
  letter-spacing:-.03em;text-wrap:balance}
.verdict svg{flex:none;width:3.25rem;height:3.25rem}
.is-exact{color:var(--exact)}.is-consistent{color:var(--consistent)}
.is-ambiguous{color:var(--ambiguous)}.is-failed{color:var(--failed)}
.verdict .disc{fill:currentColor}
.verdict .sign{fill:none;stroke:var(--paper);stroke-width:2.4;stroke-linecap:round;stroke-linejoin:round}
.lead{font-size:1.25rem;line-height:1.5;margin:1.5rem 0 0;max-width:44rem;text-wrap:pretty}
.reason{color:var(--muted);margin:.75rem 0 0;max-width:44rem}

.facts{display:grid;grid-template-columns:repeat(4,1fr);gap:1px;margin:2.25rem 0 0;overflow:hidden;
  background:var(--hairline);border:1px solid var(--hairline);border-radius:12px}
.facts div{background:var(--surface);padding:1.125rem 1.25rem;min-width:0}
.facts dt{font-size:.8125rem;color:var(--muted);line-height:1.35}
.facts dd{margin:.3rem 0 0;font-size:1.375rem;line-height:1.2;font-weight:620;letter-spacing:-.015em}
.facts dd.note{font-size:.8125rem;line-height:1.4;font-weight:400;letter-spacing:0;color:var(--muted)}

nav{display:flex;flex-wrap:wrap;gap:.25rem 1.5rem;margin:1.75rem 0 0;font-size:.9375rem}
nav a{color:var(--muted);text-decoration:none;padding:.25rem 0}
nav a:hover{color:var(--ink);text-decoration:underline}
section{padding-top:3.75rem}
h2{font-size:1.5rem;line-height:1.25;font-weight:660;letter-spacing:-.018em;margin:0 0 .5rem}
h3{font-size:1rem;line-height:1.4;font-weight:640;margin:2rem 0 .5rem}
section>p{margin:.25rem 0 1.25rem;max-width:44rem;color:var(--muted);text-wrap:pretty}
section>p.quiet,.quiet{color:var(--muted);font-size:.9375rem}

figure,.table-box,.copy pre,details{background:var(--surface);border:1px solid var(--hairline);border-radius:12px}
figure{margin:1.25rem 0 0;padding:1.5rem 1.75rem 1.125rem}
figcaption{font-size:.9375rem;color:var(--muted);border-top:1px solid var(--hairline);margin-top:.75rem;
  padding-top:.875rem;max-width:none}
.readout{margin:.75rem 0 0;font-size:.875rem;min-height:1.6em;color:var(--muted);overflow-wrap:anywhere}
.readout.live{color:var(--ink)}
.chart svg{display:block;width:100%;height:auto;font-family:inherit;overflow:visible}
.chart .narrow{display:none}
.chart text{fill:var(--muted);font-size:12px}
.chart .panel-title{fill:var(--ink);font-size:13px;font-weight:620}
.chart .panel-summary{fill:var(--muted);font-size:12.5px}
.chart .band-label,.chart .rule-label{font-size:11.5px}
.chart .rule-label{paint-order:stroke;stroke:var(--surface);stroke-width:4px;stroke-linejoin:round}
.grid{stroke:var(--grid);stroke-width:1}.axis{stroke:var(--muted);stroke-width:1;opacity:.55}
.rule{stroke:var(--second);stroke-width:1.25;stroke-dasharray:5 4}
.band{fill:var(--band)}
.line{fill:none;stroke:var(--accent);stroke-width:2;stroke-linejoin:round;stroke-linecap:round}
.dot{fill:var(--accent);stroke:var(--surface);stroke-width:1.5}
.bar{fill:var(--accent)}.bar.warn{fill:var(--failed)}
.branch{fill:none;stroke:var(--muted);stroke-width:1.25}.branch.open{stroke-dasharray:3 3}
.forest path:not(.branch){fill:var(--muted)}.forest svg{width:auto;max-width:100%}
.slice{fill:transparent}.slice:hover{fill:var(--hover)}
.cells{image-rendering:pixelated}
.frame{fill:none;stroke:var(--hairline);stroke-width:1}
.cursor{fill:none;stroke:var(--second);stroke-width:2;pointer-events:none}
.heat svg{touch-action:pan-y}

.beside{display:grid;grid-template-columns:minmax(0,3fr) minmax(0,2fr);gap:0 1.5rem;align-items:start}
.table-box{margin:1.25rem 0 0;overflow:auto;-webkit-overflow-scrolling:touch}
.table-box.tall{max-height:34rem}
table{border-collapse:separate;border-spacing:0;width:100%;font-size:.9375rem}
caption{text-align:left;padding:.875rem 1.25rem .125rem;font-size:.875rem;color:var(--muted)}
caption span{position:sticky;left:1.25rem;display:inline-block;max-width:min(calc(100vw - 5rem),56rem)}
th,td{padding:.4375rem 1.25rem;text-align:left;vertical-align:top;font-weight:400;overflow-wrap:normal}
thead th{position:sticky;top:0;z-index:1;background:var(--surface);color:var(--muted);font-size:.8125rem;
  font-weight:600;border-bottom:1px solid var(--hairline);vertical-align:bottom}
tbody tr+tr>*{border-top:1px solid var(--grid)}
tbody tr:hover>*{background:var(--band)}
.right{text-align:right}td.right{white-space:nowrap}
.meter{display:inline-flex;flex-direction:column;align-items:flex-end;gap:.2rem;min-width:5.5rem}
.meter::after{content:"";height:3px;border-radius:2px;background:var(--accent);opacity:.75;
  width:calc(var(--part,0)*5.5rem)}
bdi{display:inline-block;max-width:26rem;overflow-wrap:break-word;line-height:1.83;vertical-align:top}
td.left,th.left[scope=row]{min-width:4rem}
bdi,code,pre{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"Liberation Mono",monospace;font-size:.875em}
.names span{display:inline-block;margin-right:.5rem}
.tag{display:inline-block;font-size:.75rem;line-height:1;font-weight:600;padding:.25rem .5rem;border-radius:999px;
  border:1px solid currentColor;white-space:nowrap}
.legend .tag{margin-right:.5rem}
.tag-exact{color:var(--exact)}.tag-consistent{color:var(--consistent)}
.tag-ambiguous{color:var(--ambiguous)}.tag-failed{color:var(--failed)}

.copy{position:relative;margin:1.25rem 0 0}
.copy pre{margin:0;padding:1rem 5.5rem 1rem 1.25rem;overflow:auto;max-height:20rem;white-space:pre-wrap;
  overflow-wrap:anywhere;font-size:.875rem;line-height:1.6}
.copy pre code{font-size:1em}
.copy-button{position:absolute;top:.625rem;right:.75rem}
details{margin:1.25rem 0 0;padding:.25rem 1.25rem}
summary{cursor:pointer;padding:.625rem 0;font-weight:600;font-size:.9375rem}
details .table-box,details .copy pre{border-color:var(--grid)}
details>:last-child{margin-bottom:1rem}
footer{padding-top:4rem;padding-bottom:3rem;color:var(--muted);font-size:.875rem}

@media (max-width:820px){
  .chart .wide{display:none}.chart .narrow{display:block;max-width:27rem;margin:0 auto}
  .facts{grid-template-columns:repeat(2,1fr)}
  .beside{grid-template-columns:minmax(0,1fr)}
}
@media (max-width:520px){
  .top,main,footer{padding-left:1rem;padding-right:1rem}
  .top{padding-top:.75rem}
  .hero{padding-top:1.5rem}
  .verdict{font-size:2.5rem;gap:.875rem}.verdict svg{width:2.5rem;height:2.5rem}
  .lead{font-size:1.125rem}
  .facts div{padding:.875rem 1rem}.facts dd{font-size:1.1875rem}
  section{padding-top:3rem}h2{font-size:1.3125rem}
  figure{padding:1rem .5rem .75rem;border-radius:10px}
  figcaption,.readout{margin-left:.5rem;margin-right:.5rem}
  th,td{padding:.4375rem}th:first-child{padding-left:1rem}
  th:last-child,td:last-child{padding-right:1rem}
  caption{padding-left:1rem;padding-right:1rem}caption span{left:1rem;max-width:calc(100vw - 4.25rem)}
  table{font-size:.875rem}bdi{max-width:11rem}
  .meter{min-width:3.5rem}.meter::after{width:calc(var(--part,0)*3.5rem)}
}
@media print{
  body{background:#fff}nav,button,.readout,.skip{display:none!important}
  .table-box.tall,.copy pre{max-height:none}
  figure,tr{break-inside:avoid}section{padding-top:1.5rem}
}
"""
