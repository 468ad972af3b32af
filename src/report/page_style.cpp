#include "page_html.h"

namespace knlp::report {

std::string page_css() {
    return R"(*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;text-size-adjust:100%}
body{margin:0;background:var(--page);color:var(--text);font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue","Liberation Sans",sans-serif;overflow-wrap:anywhere}
main{max-width:74rem;margin:0 auto;padding:2rem 1.25rem 3rem}
header{margin-bottom:1.5rem}
.kicker{margin:0;color:var(--muted);font-size:.85rem;letter-spacing:.06em;text-transform:uppercase}
h1{margin:.2rem 0 .4rem;font-size:1.6rem;line-height:1.25;font-weight:650}
h2{margin:0 0 .8rem;font-size:1.15rem}
.subject{margin:0;color:var(--muted)}
.state{display:inline-block;margin-right:.6rem;padding:.05rem .65rem;border-radius:1rem;font-size:.85rem;font-weight:600}
.state-good{color:var(--good);background:var(--good-soft)}
.state-warn{color:var(--warn);background:var(--warn-soft)}
.state-bad{color:var(--bad);background:var(--bad-soft)}
.banner{margin:0 0 1rem;padding:.7rem 1rem;border-radius:.5rem;border-left:5px solid var(--warn);background:var(--warn-soft)}
.banner p{margin:.15rem 0}
.banner strong{color:var(--warn)}
.problem{border-left-color:var(--bad);background:var(--bad-soft)}
section{margin:0 0 1rem;padding:1.25rem;background:var(--panel);border:1px solid var(--line);border-radius:.6rem}
.figures{display:grid;grid-template-columns:repeat(4,1fr);gap:1px;margin:0 0 1rem;padding:0;background:var(--line);border:1px solid var(--line);border-radius:.6rem;overflow:hidden}
.figures div{padding:.85rem 1.1rem;background:var(--panel);min-width:0}
.figures dt{color:var(--muted);font-size:.85rem}
.figures dd{margin:0}
.figures .value{font-size:1.45rem;font-weight:650;line-height:1.3;font-variant-numeric:tabular-nums}
.figures .unit{color:var(--muted);font-size:.85rem}
.charts:empty{display:none}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(20rem,100%),1fr));gap:1rem;margin:0 0 1rem}
.charts section{margin:0;min-width:0}
pre{margin:0;padding:1rem;background:var(--code);border-radius:.4rem;font:13.5px/1.55 ui-monospace,SFMono-Regular,Menlo,Consolas,"Liberation Mono",monospace;white-space:pre-wrap;overflow-wrap:anywhere}
code{font:13.5px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,"Liberation Mono",monospace}
.note{color:var(--muted);font-size:.85rem}
p.note{margin:.6rem 0 0}
.facts{display:grid;grid-template-columns:11rem 1fr;gap:.3rem 1rem;margin:0}
.facts dt{color:var(--muted)}
.facts dd{margin:0;min-width:0}
summary{cursor:pointer;font-weight:650;font-size:1.15rem}
summary small{color:var(--muted);font-weight:400;font-size:.85rem}
.inner{margin-top:1rem}
.inner summary{font-size:1rem;color:var(--accent)}
table{width:100%;margin-top:.8rem;border-collapse:collapse;font-size:.9rem;table-layout:fixed}
th{color:var(--muted);font-weight:600;text-align:left}
th,td{padding:.25rem .6rem .25rem 0;border-bottom:1px solid var(--line);vertical-align:top}
th:first-child{width:44%}
th:nth-child(3){width:7rem}
tr.set td:first-child{font-weight:650}
.commands{margin:0;padding:0;list-style:none}
.commands li+li{margin-top:.7rem}
.commands span{display:block;color:var(--muted);font-size:.85rem}
.commands pre{padding:.5rem .8rem}
footer{color:var(--muted);font-size:.85rem}
@media (max-width:760px){.figures{grid-template-columns:1fr 1fr}}
@media (max-width:620px){main{padding:1.1rem .75rem 2rem}section{padding:.9rem}h1{font-size:1.2rem}.figures div{padding:.65rem .8rem}.figures .value{font-size:1.2rem}.facts{grid-template-columns:1fr;gap:0}.facts dd{margin-bottom:.5rem}th:nth-child(3){width:4.2rem}}
@media print{body{background:none}section,.figures{break-inside:avoid}}
)";
}

}  // namespace knlp::report
