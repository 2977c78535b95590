// The parts of ECharts that the report draws with; everything else stays out of the bundle.
export { init } from "echarts/core";
import { use } from "echarts/core";
import { BarChart, HeatmapChart, LineChart } from "echarts/charts";
import {
  AxisPointerComponent,
  GridComponent,
  MarkLineComponent,
  TooltipComponent,
  VisualMapComponent,
} from "echarts/components";
import { SVGRenderer } from "echarts/renderers";

use([
  BarChart, HeatmapChart, LineChart, AxisPointerComponent, GridComponent, MarkLineComponent,
  TooltipComponent, VisualMapComponent, SVGRenderer,
]);
