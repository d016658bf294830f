import { createApp } from 'vue'
import App from './App.vue'
import { startConnection } from './live/connection.js'
import { askWho } from './live/session.js'
import { startTheme } from './theme.js'
import 'uplot/dist/uPlot.min.css'
import './styles.css'

startTheme()
startConnection()
void askWho()
createApp(App).mount('#app')
